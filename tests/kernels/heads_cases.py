"""The tests of the cut into heads in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

from functools import partial

import pytest
import torch
from lengthwise.kernels import BackendUnavailableError, qkv_heads
from torch import Tensor

from tests.kernels.cases import relative_error

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def outputs_and_gradient(qkv: Tensor, heads: int, backend: str, *, members: bool) -> list[Tensor]:
    """q, k, v and, for fixed gradients of them, that of qkv [P, …] where it has members."""
    leaf = qkv.detach().requires_grad_()
    call = partial(qkv_heads, heads=heads, backend=backend)
    outputs = (torch.func.vmap(call) if members else call)(leaf)
    incoming = [
        draw(*each.shape, seed=n).half().to(each.dtype) for n, each in enumerate(outputs, 1)
    ]
    return [*outputs, *torch.autograd.grad(outputs, leaf, incoming)]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])
@pytest.mark.parametrize("members", [False, True])
@pytest.mark.parametrize(
    ("shape", "heads"),
    [((2, 3), 1), ((2, 5, 24), 2), ((2, 2, 37, 3 * 64), 1), ((2, 1, 9, 3 * 3 * 20), 3)],
    ids=str,
)
def test_outputs_and_gradient_equal_the_float64_formula(
    shape: tuple[int, ...], heads: int, members: bool, dtype: torch.dtype
) -> None:
    qkv = draw(*shape).to(dtype)
    found = outputs_and_gradient(qkv, heads, "triton", members=members)
    expected = outputs_and_gradient(qkv.double(), heads, "reference", members=members)
    for one, exact in zip(found, expected, strict=True):
        assert one.dtype == dtype
        assert one.shape == exact.shape
        assert relative_error(one, exact) <= TOLERANCE[dtype]


def test_rows_of_zeros_and_columns_of_a_wider_tensor() -> None:
    wide = draw(4, 40)
    wide[1] = 0
    found = outputs_and_gradient(wide[:, 2:26], 2, "triton", members=False)
    expected = outputs_and_gradient(wide[:, 2:26].double(), 2, "reference", members=False)
    for one, exact in zip(found, expected, strict=True):
        assert one.isfinite().all()
        assert relative_error(one, exact) <= TOLERANCE[torch.float32]


def test_it_compiles_into_one_graph() -> None:
    qkv = draw(2, 5, 24).requires_grad_()

    def run(qkv: Tensor) -> Tensor:
        q, k, v = qkv_heads(qkv, 2, backend="triton")
        return q.sin().sum() + k.cos().sum() + v.square().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(qkv), qkv)
    assert torch.equal(found[0], torch.autograd.grad(run(qkv), qkv)[0])


def test_refusals_say_why() -> None:
    with pytest.raises(BackendUnavailableError, match="heads have up to 4096 channels"):
        qkv_heads(torch.zeros(1, 3 * 4097, device=DEVICE), 1, backend="triton")
    with pytest.raises(BackendUnavailableError, match="there are no rows"):
        qkv_heads(torch.zeros(0, 3, device=DEVICE), 1, backend="triton")
