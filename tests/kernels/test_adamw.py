"""AdamW of stacked members against torch's own and against the formula in plain numbers."""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.kernels import adamw_
from torch import Tensor

STEPS = 4
RATES = [(1e-3, 0.1, 0.9, 0.999), (0.1, 0.0, 0.0, 0.95), (0.02, 1.0, 0.5, 0.0)]
"""Learning rate, weight decay, β₁ and β₂ of each member."""
CLIPS = [0.5, torch.inf, 1e3]


def settings(size: int, members: list[int] | None = None) -> dict[str, Tensor]:
    chosen = members or list(range(len(RATES)))
    names = ("lr", "weight_decay", "beta1", "beta2")
    columns = zip(*(RATES[member] for member in chosen), strict=True)
    return {
        "decayed": torch.arange(size) % 3 > 0,
        "clip": torch.tensor([CLIPS[member] for member in chosen]),
        **{
            name: torch.tensor(column, dtype=torch.float64)
            for name, column in zip(names, columns, strict=True)
        },
    }


def draw(seed: int, *shape: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def trained(start: Tensor, gradients: list[Tensor], given: dict[str, Any]) -> list[Tensor]:
    """Parameters and moments after all steps."""
    parameters = start.clone().requires_grad_()
    moments = torch.zeros_like(start), torch.zeros_like(start)
    for step, gradient in enumerate(gradients):
        adamw_(parameters, gradient, *moments, step=torch.tensor(step), **given)
    return [parameters.detach(), *moments]


@given(size=st.integers(1, 40), seed=st.integers(0, 2**31))
def test_each_member_is_trained_as_by_torch(size: int, seed: int) -> None:
    start = draw(seed, len(RATES), size, dtype=torch.float64)
    gradients = [draw(seed + n, *start.shape, dtype=torch.float64) for n in range(1, STEPS)]
    given = settings(size)
    found, *_ = trained(start, gradients, given)
    for member, (lr, decay, beta1, beta2) in enumerate(RATES):
        values = [start[member, given["decayed"]], start[member, ~given["decayed"]]]
        leaves = [each.clone().requires_grad_() for each in values]
        groups = [
            {"params": leaves[:1], "weight_decay": decay},
            {"params": leaves[1:], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2))
        for gradient in gradients:
            leaves[0].grad = gradient[member, given["decayed"]].clone()
            leaves[1].grad = gradient[member, ~given["decayed"]].clone()
            torch.nn.utils.clip_grad_norm_(leaves, CLIPS[member])
            optimizer.step()
        torch.testing.assert_close(found[member, given["decayed"]], leaves[0].detach())
        torch.testing.assert_close(found[member, ~given["decayed"]], leaves[1].detach())


@pytest.mark.parametrize("clip", [0.5, None])
def test_the_bits_are_those_of_the_formula_with_numbers_for_settings(clip: float | None) -> None:
    members, size = 3, 1000
    parameter, first, second = (draw(n, members, size, dtype=torch.float32) for n in range(3))
    second.square_()
    gradient = draw(3, members, size, dtype=torch.float32)
    lr, decay, beta1, beta2 = 1e-3, 0.1, 0.9, 0.999
    decayed = (torch.arange(size) % 2).float()
    found = [parameter.clone(), gradient.clone(), first.clone(), second.clone()]
    whole = {"lr": lr, "weight_decay": decay, "beta1": beta1, "beta2": beta2}
    for step in range(STEPS):
        adamw_(
            *found,
            decayed=decayed,
            step=torch.tensor(step),
            clip=None if clip is None else torch.full((members,), clip),
            **{name: torch.full((members,), x, dtype=torch.float64) for name, x in whole.items()},
        )
        scaled = gradient
        if clip is not None:
            norms = gradient.norm(dim=1, keepdim=True)
            scaled = gradient * (clip / (norms + 1e-6)).clamp(max=1.0)
        first.lerp_(scaled, 1 - beta1)
        second.mul_(beta2).addcmul_(scaled, scaled, value=1 - beta2)
        root = (second / (1 - beta2 ** (step + 1))).sqrt_().add_(1e-8)
        rate = torch.full((members, 1), lr)
        parameter.mul_(1 - rate * torch.full((members, 1), decay) * decayed)
        parameter.sub_(rate / (1 - beta1 ** (step + 1)) * first / root)
    for one, other in zip(found, (parameter, gradient, first, second), strict=True):
        assert torch.equal(one, other)


def test_a_member_is_trained_as_it_is_alone_and_another_that_diverges_spoils_nothing() -> None:
    size = 50
    start = draw(0, len(RATES), size, dtype=torch.float32)
    gradients = [draw(n, *start.shape, dtype=torch.float32) for n in range(1, STEPS)]
    gradients[1][2, 7] = torch.nan
    found = trained(start, gradients, settings(size))
    for member in range(2):
        rows = [each[member : member + 1] for each in (start, *gradients)]
        alone = trained(rows[0], rows[1:], settings(size, [member]))
        for one, other in zip(found, alone, strict=True):
            torch.testing.assert_close(one[member], other[0])
    assert found[0][2].isnan().all()


def test_an_infinite_clip_is_none() -> None:
    start = draw(0, 3, 20, dtype=torch.float32)
    gradients = [1e30 * draw(1, 3, 20, dtype=torch.float32)]
    unclipped = settings(20) | {"clip": torch.full((3,), torch.inf)}
    pairs = itertools.zip_longest(
        trained(start, gradients, unclipped), trained(start, gradients, unclipped | {"clip": None})
    )
    assert all(torch.equal(*pair) for pair in pairs)


def test_contradicting_shapes_and_dtypes_are_named() -> None:
    start = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"lr must be \[3\], not \[2\]"):
        trained(start, [start], settings(4) | {"lr": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"decayed must be \[4\], not \[5\]"):
        trained(start, [start], settings(5))
    with pytest.raises(ValueError, match=r"gradients must be \[3, 4\] in torch\.float32"):
        trained(start, [start.half()], settings(4))
    with pytest.raises(ValueError, match=r"parameters must be \[P, N\]"):
        trained(start[0], [start[0]], settings(4))
