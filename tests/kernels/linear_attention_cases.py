"""The tests of linear attention in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from lengthwise.kernels import BackendUnavailableError, linear_attention, session
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON: Any = importlib.import_module("lengthwise.kernels.linear_attention.triton")
TOLERANCE = {torch.float32: 1e-5, torch.float16: 4e-3}
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])


def draw(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(DEVICE, dtype)


def results(
    qkv: Tensor, heads: int, backend: str, incoming: tuple[Tensor, Tensor]
) -> dict[str, Tensor]:
    """The output, the state, and the gradients of q, k and v from those of both."""
    leaf = qkv.detach().requires_grad_()
    outputs = linear_attention(leaf, heads, backend=backend)
    gradients = [each.to(like.dtype) for each, like in zip(incoming, outputs, strict=True)]
    (dqkv,) = torch.autograd.grad(outputs, leaf, gradients)
    dq, dk, dv = dqkv.chunk(3, -1)
    return {"output": outputs[0], "state": outputs[1], "dq": dq, "dk": dk, "dv": dv}


def sizes_of_terms(
    qkv: Tensor, heads: int, incoming: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What dq and dk would be if no term cancelled another, in float64.

    A weighted mean does not change with its only weight: with one token, or one channel, dq is 0.
    """
    q, k, v = (
        each.double().unflatten(-1, (heads, -1)).transpose(1, 2) for each in qkv.chunk(3, -1)
    )
    features, keys = F.elu(q) + 1, F.elu(k) + 1
    weights = (features @ keys.mT).tril()
    divisors = weights.sum(-1, keepdim=True)
    dp = incoming[0].double().transpose(1, 2) @ v.mT
    delta = (weights / divisors * dp).sum(-1, keepdim=True)
    ds = ((dp.abs() + delta.abs()) / divisors).tril()
    of_products, of_sums = incoming[1].double().split([v.shape[-1], 1], -1)
    of_keys = ds.mT @ features + v.abs() @ of_products.abs().mT + of_sums.abs().mT
    terms = ds @ keys * features.clamp(max=1), of_keys * keys.clamp(max=1)
    return terms[0].transpose(1, 2).flatten(2), terms[1].transpose(1, 2).flatten(2)


def hold(qkv: Tensor, heads: int, *, state: bool = True) -> None:
    """Against float64; without `state` no gradient comes in from it."""
    batch, length, channels = qkv.shape
    size = channels // (3 * heads)
    of_state = draw(batch, heads, size, size + 1, seed=2) * (0.1 if state else 0.0)
    incoming = draw(batch, length, heads, size, dtype=qkv.dtype, seed=1), of_state
    found = results(qkv, heads, "triton", incoming)
    expected = results(qkv.double(), heads, "reference", incoming)
    sizes = expected | dict(zip(("dq", "dk"), sizes_of_terms(qkv, heads, incoming), strict=True))
    for name, exact in expected.items():
        assert found[name].dtype == (torch.float32 if name == "state" else qkv.dtype)
        error = (found[name].double() - exact).norm()
        assert error <= TOLERANCE[qkv.dtype] * sizes[name].norm(), name


@each_dtype
@pytest.mark.parametrize(
    ("shape", "heads"),
    [
        ((2, 1, 3 * 8), 1),
        ((2, 2, 3 * 2 * 16), 2),
        ((1, 33, 3 * 2 * 20), 2),
        ((2, 64, 3 * 32), 1),
        ((1, 65, 3 * 2 * 32), 2),
        ((1, 100, 3 * 64), 1),
        ((1, 67, 3 * 128), 1),
        ((1, 150, 3 * 40), 1),
    ],
    ids=str,
)
def test_output_state_and_gradients_equal_float64(
    shape: tuple[int, int, int], heads: int, dtype: torch.dtype
) -> None:
    hold(draw(*shape, dtype=dtype), heads)
    hold(draw(*shape, dtype=dtype), heads, state=False)


@settings(max_examples=15)
@given(
    batch=st.integers(1, 2),
    length=st.integers(1, 50),
    heads=st.integers(1, 2),
    size=st.integers(1, 20),
    half=st.booleans(),
)
def test_sequences_of_many_blocks_equal_float64(
    batch: int, length: int, heads: int, size: int, half: bool
) -> None:
    tiles = TRITON.Tiles(16, 16, 1, "ieee")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRITON, "HALF", {128: tiles})
        patch.setattr(TRITON, "SINGLE", {128: tiles})
        dtype = torch.float16 if half else torch.float32
        hold(draw(batch, length, 3 * heads * size, dtype=dtype, seed=length), heads)


def test_tiny_and_huge_features_keep_their_digits() -> None:
    """φ from e⁻³⁰ to 1,000; the divisors of the first queries are as small as eps."""
    qkv = draw(2, 40, 3 * 2 * 16) * 10
    qkv[:, :5, :32] -= 30
    qkv[:, 20, :64] = 1000
    hold(qkv, 2)


def test_members_of_a_stack_get_what_they_get_alone() -> None:
    qkv = draw(3, 2, 37, 3 * 2 * 16)

    def call(qkv: Tensor) -> tuple[Tensor, Tensor]:
        return linear_attention(qkv, 2, backend="triton")

    leaf = qkv.detach().requires_grad_()
    together = torch.func.vmap(call)(leaf)
    incoming = draw(*together[0].shape, seed=1)
    (gradient,) = torch.autograd.grad(together[0], leaf, incoming)
    for member in range(3):
        one = qkv[member].detach().requires_grad_()
        alone = call(one)
        assert all(torch.equal(a[member], b) for a, b in zip(together, alone, strict=True))
        (expected,) = torch.autograd.grad(alone[0], one, incoming[member])
        assert torch.equal(gradient[member], expected)


def test_where_the_input_lies_in_memory_changes_no_bit() -> None:
    qkv = draw(2, 20, 3 * 2 * 16)
    incoming = draw(2, 20, 2, 16, seed=1), draw(2, 2, 16, 17, seed=2)
    expected = results(qkv, 2, "triton", incoming)
    turned = tuple(each.mT.contiguous().mT for each in incoming)
    found = results(qkv.mT.contiguous().mT, 2, "triton", (turned[0], turned[1]))
    assert all(torch.equal(found[name], each) for name, each in expected.items())


def test_it_compiles_into_one_graph() -> None:
    qkv = draw(2, 20, 3 * 2 * 16).requires_grad_()

    def run(qkv: Tensor) -> Tensor:
        output, state = linear_attention(qkv, 2, backend="triton")
        return output.sin().sum() + state.square().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(qkv), qkv)
    torch.testing.assert_close(found, torch.autograd.grad(run(qkv), qkv))


def test_what_it_refuses_goes_by_the_state() -> None:
    long = torch.zeros(1, 1025, 3, device=DEVICE)
    with pytest.raises(BackendUnavailableError, match="made for up to 1024 tokens"):
        linear_attention(long, 1, backend="triton")
    with pytest.raises(BackendUnavailableError, match="head sizes go up to 128"):
        linear_attention(torch.zeros(1, 2, 3 * 129, device=DEVICE), 1, backend="triton")
    state = torch.zeros(1, 1, 1, 2, device=DEVICE)
    with pytest.raises(BackendUnavailableError, match="starts from no state"):
        linear_attention(long[:, :2], 1, initial_state=state, backend="triton")
    with session() as entered:
        linear_attention(long, 1)
        linear_attention(long[:, :2], 1, initial_state=state)
    assert entered.chosen["linear_attention"] == {"reference"}
