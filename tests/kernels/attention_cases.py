"""The tests of softmax attention in Triton, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

import importlib
import inspect
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lengthwise.harness.bench.kernels.cases import attention, relative_error
from lengthwise.harness.bench.kernels.check import TOLERANCE, check
from lengthwise.kernels import BackendUnavailableError, session, softmax_attention
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TRITON: Any = importlib.import_module("lengthwise.kernels.softmax_attention.triton")
Shape = tuple[int, int, int, int, int]
"""(B, T, H, K, V)."""

numpy_warns = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
"""Of what is not a number, inside Triton's interpreter."""
each_dtype = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16], ids=["float32", "float16"]
)
attend = partial(softmax_attention, causal=True, backend="triton")


def problem(shape: Shape, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> list[Tensor]:
    """q, k and v as turned parts of one projection [B, T, H·(2K + V)], and a gradient like v."""
    batch, length, heads, key_size, value_size = shape
    generator = torch.Generator().manual_seed(length)
    widths = [heads * size for size in (key_size, key_size, value_size, value_size)]
    packed = torch.randn(batch, length, sum(widths), generator=generator).to(DEVICE, dtype)
    q, k, v, incoming = (
        each.unflatten(-1, (heads, -1)).transpose(1, 2) for each in packed.split(widths, -1)
    )
    return [scale * q if scale != 1 else q, k, v, incoming]


def with_gradients(backend: str, *tensors: Tensor) -> dict[str, Tensor]:
    *inputs, incoming = tensors
    leaves = [each.detach().requires_grad_() for each in inputs]
    output = softmax_attention(*leaves, causal=True, backend=backend)
    gradients = torch.autograd.grad(output, leaves, incoming)
    return {"output": output.detach(), **dict(zip(("dq", "dk", "dv"), gradients, strict=True))}


def assert_equals_float64(shape: Shape, dtype: torch.dtype) -> None:
    batch, length, *sizes = shape
    error = check(attention(*sizes), batch, length, dtype, DEVICE)
    assert error.ok, error


@each_dtype
def test_large_logits_keep_their_digits(dtype: torch.dtype) -> None:
    """Up to 39: most rows give more than nine tenths of their weight to one key."""
    tensors = problem((2, 70, 2, 32, 32), dtype, scale=10.0)
    found = with_gradients("triton", *tensors)
    expected = with_gradients("reference", *(each.double() for each in tensors))
    for name, exact in expected.items():
        assert found[name].dtype == dtype, name
        assert relative_error(found[name], exact, dtype) <= TOLERANCE[dtype], name


@each_dtype
@pytest.mark.parametrize(
    "shape",
    [
        (3, 1, 2, 16, 16),
        (2, 2, 1, 8, 8),
        (3, 13, 3, 20, 40),
        (2, 16, 2, 32, 32),
        (1, 33, 2, 32, 32),
        (2, 64, 2, 32, 32),
        (1, 65, 2, 32, 16),
        (1, 100, 1, 64, 64),
        (1, 128, 1, 48, 64),
        (1, 67, 1, 128, 128),
        (1, 129, 1, 8, 100),
        (1, 200, 1, 64, 24),
    ],
    ids=str,
)
def test_output_and_gradients_equal_float64(shape: Shape, dtype: torch.dtype) -> None:
    assert_equals_float64(shape, dtype)


@settings(max_examples=12)
@example(batch=2, length=49, heads=2, sizes=(20, 3), half=False)
@example(batch=1, length=48, heads=1, sizes=(16, 17), half=True)
@given(
    batch=st.integers(1, 2),
    length=st.integers(1, 40),
    heads=st.integers(1, 2),
    sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    half=st.booleans(),
)
def test_sequences_of_many_blocks_equal_float64(
    batch: int, length: int, heads: int, sizes: tuple[int, int], half: bool
) -> None:
    tiles = TRITON.Tiles(16, 16, 1, "ieee")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TRITON, "HALF", {128: tiles})
        patch.setattr(TRITON, "SINGLE", {128: tiles})
        dtype = torch.float16 if half else torch.float32
        assert_equals_float64((batch, length, heads, *sizes), dtype)


@each_dtype
def test_a_single_token_attends_to_itself(dtype: torch.dtype) -> None:
    q, k, v, incoming = problem((3, 1, 2, 32, 32), dtype)
    found = with_gradients("triton", q, k, v, incoming)
    torch.testing.assert_close(found["output"], v)
    torch.testing.assert_close(found["dv"], incoming)
    for name in ("dq", "dk"):
        assert found[name].abs().max() <= 1e-4


@each_dtype
@pytest.mark.parametrize("length", [40, 140])
def test_huge_logits_choose_one_key(length: int, dtype: torch.dtype) -> None:
    q, k, v, incoming = problem((1, length, 1, 16, 16), dtype, scale=1000.0)
    logits = (q.double() @ k.double().mT).masked_fill(
        torch.ones(length, length, dtype=torch.bool, device=DEVICE).triu(1), -torch.inf
    )
    best = logits.topk(2, -1).values
    clear = best[..., 0] - best[..., 1] > 100
    assert clear.float().mean() > 0.7
    found = with_gradients("triton", q, k, v, incoming)
    chosen = v[0, 0][logits.argmax(-1)[0, 0]]
    torch.testing.assert_close(found["output"][clear], chosen[clear[0, 0]])
    assert all(each.isfinite().all() for each in found.values())


def test_where_the_inputs_lie_in_memory_changes_no_bit() -> None:
    tensors = problem((2, 70, 2, 16, 24), torch.float16)
    expected = with_gradients("triton", *tensors)
    for layout in (
        [each.contiguous() for each in tensors],
        [each.movedim(2, 0).contiguous().movedim(0, 2) for each in tensors],
        [each.mT.contiguous().mT for each in tensors],
        [each.repeat_interleave(2, -1)[..., ::2] for each in tensors],
    ):
        found = with_gradients("triton", *layout)
        assert all(torch.equal(found[name], each) for name, each in expected.items())


def test_a_gradient_that_is_one_number_is_read_as_a_tensor() -> None:
    q, k, v, _ = problem((2, 20, 2, 16, 16))
    one = torch.ones((), device=DEVICE).expand_as(v)
    found, expected = (with_gradients("triton", q, k, v, each) for each in (one, one.contiguous()))
    assert all(torch.equal(found[name], each) for name, each in expected.items())


def test_heads_lie_side_by_side_in_outputs_and_gradients() -> None:
    for tensor in with_gradients("triton", *problem((2, 20, 3, 16, 24))).values():
        assert tensor.transpose(1, 2).flatten(2).is_contiguous()
        assert tensor.transpose(1, 2).flatten(2).data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("length", [20, 70])
def test_later_tokens_change_no_bit_of_earlier_outputs(length: int) -> None:
    tensors = problem((1, length, 2, 16, 16))[:3]
    before = attend(*tensors)
    for each in tensors:
        each[:, :, length // 2 :] = 7.0
    after = attend(*tensors)
    assert torch.equal(before[:, :, : length // 2], after[:, :, : length // 2])
    assert not torch.equal(before, after)


@pytest.mark.parametrize(("batch", "length"), [(2, 20), (1, 70)])
def test_a_stack_of_members_has_the_bits_of_each_alone(batch: int, length: int) -> None:
    tensors = problem((2 * batch, length, 2, 16, 24), torch.float16)
    alone = with_gradients("triton", *tensors)
    stacked = [each.unflatten(0, (2, batch)) for each in tensors]
    leaves = [each.detach().requires_grad_() for each in stacked[:3]]
    output = torch.func.vmap(attend)(*leaves)
    gradients = torch.autograd.grad(output, leaves, stacked[3])
    for found, expected in zip((output, *gradients), alone.values(), strict=True):
        assert torch.equal(found.flatten(0, 1), expected)
    for index in range(2):
        member = with_gradients("triton", *(each[index] for each in stacked))
        assert torch.equal(output[index], member["output"])
        for found, name in zip(gradients, ("dq", "dk", "dv"), strict=True):
            assert torch.equal(found[index], member[name])


def test_members_may_share_their_keys() -> None:
    q, k, v, _ = problem((3, 9, 2, 16, 16))
    output = torch.func.vmap(attend, in_dims=(0, None, 1))(q[:, None], k[:1], v[None])
    for index in range(3):
        alone = attend(q[index : index + 1], k[:1], v[index : index + 1])
        assert torch.equal(output[index], alone)


@numpy_warns
@pytest.mark.parametrize("length", [20, 70])
def test_a_sequence_that_diverges_is_seen_and_spoils_no_other(length: int) -> None:
    tensors = problem((3, length, 2, 16, 16))
    healthy = with_gradients("triton", *tensors)
    tensors[1][1, 1, 0, 3] = torch.nan
    spoiled = with_gradients("triton", *tensors)
    assert spoiled["output"][1, 1].isnan().all()
    for name, before in healthy.items():
        after = spoiled[name]
        assert torch.equal(before[[0, 2]], after[[0, 2]])
        assert torch.equal(before[1, 0], after[1, 0])


def test_the_same_call_gives_the_same_bits() -> None:
    tensors = problem((2, 150, 2, 16, 16), torch.float16)
    first, second = (with_gradients("triton", *tensors) for _ in range(2))
    assert all(torch.equal(second[name], each) for name, each in first.items())


def test_the_operator_compiles_into_one_graph() -> None:
    leaves = [each.detach().requires_grad_() for each in problem((2, 20, 2, 16, 16))[:3]]

    def run(*each: Tensor) -> Tensor:
        return attend(*each).transpose(1, 2).flatten(2).sin().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves)
    expected = torch.autograd.grad(run(*leaves), leaves)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", ["attend_tiles", "attend_tiles_backward"])
def test_torch_finds_no_fault_with_the_operators_rules(name: str) -> None:
    q, k, v, incoming = problem((2, 20, 2, 16, 24))
    args = (q, k, v)
    if name == "attend_tiles_backward":
        args = (*args, *torch.ops.lengthwise.attend_tiles(*args), incoming)
    operator = getattr(torch.ops.lengthwise, name).default
    checks = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")
    torch.library.opcheck(operator, args, test_utils=checks)


def test_under_autocast_it_computes_in_its_dtype() -> None:
    q, k, v, _ = problem((1, 20, 2, 16, 16))
    with torch.autocast(DEVICE, torch.float16):
        found = attend(q, k.half(), v)
    assert torch.equal(found, attend(q.half(), k.half(), v.half()))


def test_it_is_chosen_where_it_computes_and_refuses_the_rest() -> None:
    x = torch.zeros(1, 1, TRITON.LONGEST + 1, 16, device=DEVICE)
    short = x[:, :, :5]
    with session() as entered:
        softmax_attention(short, short, short, causal=True)
    assert entered.chosen == {"softmax_attention": {"triton"}}
    with session() as entered:
        softmax_attention(x, x, x, causal=True)
        softmax_attention(short, short, short, bias=torch.zeros(5, 5, device=DEVICE))
        softmax_attention(short[:, :, :1], short, short)
    assert entered.chosen == {"softmax_attention": {"sdpa"}}
    wide = torch.zeros(1, 1, 2, 129, device=DEVICE)
    refused: tuple[tuple[str, Tensor, dict[str, Any]], ...] = (
        ("up to 1024 tokens", x, {"causal": True}),
        ("adds no bias", short, {"bias": torch.zeros(5, 5, device=DEVICE)}),
        ("causal attention only", short, {}),
        ("up to 128", wide, {"causal": True}),
        ("not in float64", short.double(), {"causal": True}),
    )
    for match, tensor, options in refused:
        with pytest.raises(BackendUnavailableError, match=match):
            softmax_attention(tensor, tensor, tensor, **options, backend="triton")


def test_no_left_factor_is_turned_in_registers() -> None:
    """Triton 3.4 to 3.7.0 miscompiles it on Hopper."""
    source = inspect.getsource(importlib.import_module("lengthwise.kernels.gpu_attention"))
    products = source.split("tl.dot(")[1:]
    assert products
    assert not any(each.startswith("tl.trans(") for each in products)
    assert ".T" not in source
