"""The tests of the scan and the convolution in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

import importlib
from functools import partial
from typing import Any

import pytest
import torch
from lengthwise.harness.bench.kernels.cases import convolution, relative_error, scan
from lengthwise.kernels import causal_conv1d, selective_scan
from torch import Tensor

from tests.kernels.placed import DEVICE, DTYPES, Placed, hold, hold_mixed, name_of

SEGMENTS: Any = importlib.import_module("lengthwise.kernels.selective_scan.segments")

SHORT = [
    (scan(3, 4), 2, 1),
    (scan(40, 3, bias=True), 1, 21),
    (convolution(8, 4), 2, 1),
    (convolution(8, 4, "silu"), 2, 1),
    (convolution(70, 4), 1, 130),
    (convolution(70, 4, "silu"), 1, 135),
    (convolution(40, 9, "silu"), 1, 37),
    (convolution(16, 1), 2, 9),
]


@pytest.mark.parametrize("placed", SHORT, ids=name_of)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: str(dtype)[6:])
def test_output_state_and_gradients_equal_the_float64_recurrence(
    placed: Placed, dtype: torch.dtype
) -> None:
    hold(placed, dtype)


@pytest.mark.parametrize("placed", SHORT[2::3], ids=name_of)
def test_half_precision_beside_float32_keeps_every_dtype(placed: Placed) -> None:
    hold_mixed(placed)


@pytest.mark.parametrize(
    "placed", [(scan(4, 2), 2, 19), (scan(32, 5, bias=True), 1, 40)], ids=name_of
)
@pytest.mark.parametrize(
    ("programs", "shortest", "runs"),
    [(1, 2, 2), (1000, 2, 4), (1000, 1, 2)],
    ids=["one segment", "segments", "runs of segments"],
)
def test_segments_of_a_scan_equal_the_float64_recurrence(
    placed: Placed, programs: int, shortest: int, runs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SEGMENTS, "WARPS", programs)
    monkeypatch.setattr(SEGMENTS, "SHORTEST", shortest)
    monkeypatch.setattr(SEGMENTS, "RUNS", runs)
    hold(placed)


def test_a_scan_reads_its_weights_where_they_are_and_rates_that_members_share() -> None:
    generator = torch.Generator().manual_seed(0)
    x, delta = (torch.rand(2, 2, 11, 4, generator=generator).to(DEVICE) for _ in range(2))
    A = -torch.rand(4, 3, generator=generator).to(DEVICE).requires_grad_()
    wide = torch.randn(2, 2, 11, 8, generator=generator).to(DEVICE)
    call = partial(selective_scan, backend="triton")
    found: list[list[Tensor]] = []
    for parts in (wide[..., 1:4], wide[..., 4:7]), (wide[..., 1:4].clone(), wide[..., 4:7].clone()):
        B, C = (each.requires_grad_() for each in parts)
        output, state = torch.func.vmap(call, in_dims=(0, 0, None, 0, 0))(x, delta, A, B, C)
        found.append([output, state, *torch.autograd.grad(output.sin().sum(), [A, B, C])])
    alone = [call(x[m], delta[m], A, wide[m, ..., 1:4], wide[m, ..., 4:7])[0] for m in range(2)]
    summed = torch.autograd.grad(torch.stack(alone).sin().sum(), A)[0]
    assert relative_error(found[0][2], summed) <= 1e-6
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_a_scan_stacks_members_that_have_their_own_rates() -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    made = [scan(3, 2, bias=True).make(2, 5, generator) for _ in range(2)]
    members = [[value.float() for value in each.values()] for each in made]

    def run(*each: Tensor) -> tuple[Tensor, Tensor]:
        return selective_scan(**dict(zip(made[0], each, strict=True)), backend="triton")

    stacked = [torch.stack(each).requires_grad_() for each in zip(*members, strict=True)]
    output, _ = torch.func.vmap(run)(*stacked)
    gradients = torch.autograd.grad(output.sin().sum(), stacked)
    for index, member in enumerate(members):
        leaves = [each.clone().requires_grad_() for each in member]
        expected = torch.autograd.grad(run(*leaves)[0].sin().sum(), leaves)
        for found, one in zip(gradients, expected, strict=True):
            assert relative_error(found[index], one) <= 1e-6


@pytest.mark.parametrize(("members", "length"), [(1, 33), (2, 5)])
def test_a_convolution_reads_its_part_of_a_projection_where_it_is(
    members: int, length: int
) -> None:
    generator = torch.Generator().manual_seed(members)
    wide = torch.randn(members, 2, length, 48, generator=generator).to(DEVICE)
    weight = torch.randn(members, 20, 4, generator=generator).to(DEVICE).requires_grad_()
    incoming = torch.randn(members, 2, length, 20, generator=generator).to(DEVICE)
    call = partial(causal_conv1d, activation="silu", backend="triton")
    found: list[list[Tensor]] = []
    for x in (wide[..., 7:27], wide[..., 7:27].contiguous()):
        x.requires_grad_()
        output, state = torch.func.vmap(call)(x, weight)
        gradients = torch.autograd.grad([output], [x, weight], [incoming])
        found.append([output, state, *gradients])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
