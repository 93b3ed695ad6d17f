"""Every backend of every operator against the float64 recurrence."""

import itertools
from importlib import import_module

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise import kernels
from lengthwise.harness.bench.kernels.cases import (
    Arguments,
    Case,
    cast,
    outputs_and_gradients,
    relative_error,
)
from torch import Tensor

from tests.kernels.cases import CASES, check_mixed_precision

OUTPUT_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
GRADIENT_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
ANY_DTYPE = ("reference", "chunked")
TIME_MAJOR = {"q", "k", "v", "beta", "log_decay", "x", "delta", "B", "C"}


def backends(operator: str) -> list[str]:
    """Those that take CPU tensors; `chunk_cases.py` and `scan_cases.py` hold the other."""
    found = import_module(f"lengthwise.kernels.{operator}").BACKENDS
    return [name for name in found if name != "triton"]


def accepts(case: Case, arguments: Arguments, backend: str) -> bool:
    try:
        case.call(arguments, backend=backend)
    except kernels.BackendUnavailableError:
        return False
    return True


def each_backend(*left_out: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("case", "backend"),
        [
            pytest.param(case, backend, id=f"{case}-{backend}")
            for case in CASES
            for backend in backends(case.operator)
            if backend not in left_out
        ],
    )


@pytest.mark.parametrize(
    ("case", "backend", "dtype"),
    [
        pytest.param(case, backend, dtype, id=f"{case}-{backend}-{str(dtype)[6:]}")
        for case in CASES
        for backend in backends(case.operator)
        for dtype in (torch.float64, torch.float32)
        if dtype == torch.float32 or backend in ANY_DTYPE
    ],
)
@pytest.mark.parametrize(("batch", "length"), [(1, 1), (3, 5), (1, 64), (2, 131)])
def test_outputs_gradients_and_final_state_equal_the_float64_recurrence(
    case: Case, backend: str, dtype: torch.dtype, batch: int, length: int
) -> None:
    exact = case.make(batch, length, torch.Generator().manual_seed(100 * batch + length))
    arguments = cast(exact, dtype)
    if not accepts(case, arguments, backend):
        pytest.skip(f"{backend} refuses {dtype} here")
    expected = outputs_and_gradients(case, cast(arguments, torch.float64), "reference", dtype)
    found = outputs_and_gradients(case, arguments, backend, dtype)
    for name, value in expected.items():
        tolerance = OUTPUT_TOLERANCE if name in ("output", "state") else GRADIENT_TOLERANCE
        assert relative_error(found[name], value) <= tolerance[dtype], name


@each_backend()
@given(
    length=st.integers(1, 150),
    cuts=st.lists(st.integers(1, 149), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_any_cut_through_the_state_gives_the_same_output(
    case: Case, backend: str, length: int, cuts: list[int], seed: int
) -> None:
    dtype = torch.float64 if backend in ANY_DTYPE else torch.float32
    arguments = cast(case.make(2, length, torch.Generator().manual_seed(seed)), dtype)
    if not accepts(case, arguments, backend):
        pytest.skip(f"{backend} refuses {dtype} here")
    output, final_state = case.call(arguments, backend=backend)
    pieces: list[Tensor] = []
    state = arguments["initial_state"]
    bounds = [0, *sorted({cut for cut in cuts if cut < length}), length]
    for begin, end in itertools.pairwise(bounds):
        piece = {
            name: value[:, begin:end] if name in TIME_MAJOR and value is not None else value
            for name, value in arguments.items()
        }
        part, state = case.call(piece | {"initial_state": state}, backend=backend)
        pieces.append(part)
    assert relative_error(torch.cat(pieces, 1), output) <= OUTPUT_TOLERANCE[dtype]
    assert relative_error(state, final_state) <= OUTPUT_TOLERANCE[dtype]


@each_backend()
def test_no_initial_state_equals_a_state_of_zeros(case: Case, backend: str) -> None:
    arguments = cast(case.make(2, 33, torch.Generator().manual_seed(2)), torch.float32)
    if not accepts(case, arguments, backend):
        pytest.skip(f"{backend} refuses float32 here")
    zeros = arguments | {"initial_state": torch.zeros_like(arguments["initial_state"])}
    none = arguments | {"initial_state": None}
    for found, expected in zip(
        case.call(none, backend=backend), case.call(zeros, backend=backend), strict=True
    ):
        torch.testing.assert_close(found, expected)


@each_backend("reference")
def test_stacking_by_vmap_equals_one_call_a_member(case: Case, backend: str) -> None:
    members = [
        cast(case.make(2, 19, torch.Generator().manual_seed(seed)), torch.float32)
        for seed in range(3)
    ]
    if not accepts(case, members[0], backend):
        pytest.skip(f"{backend} refuses float32 here")
    names = [name for name, value in members[0].items() if isinstance(value, Tensor)]
    stacked = {
        name: torch.stack([member[name] for member in members]).requires_grad_() for name in names
    }
    rest = {name: value for name, value in members[0].items() if name not in names}
    output, _ = torch.func.vmap(lambda tensors: case.call(tensors | rest, backend=backend))(stacked)
    gradients = torch.autograd.grad(output.square().sum(), list(stacked.values()))
    for index, member in enumerate(members):
        leaves = {name: member[name].clone().requires_grad_() for name in names}
        alone, _ = case.call(leaves | rest, backend=backend)
        assert relative_error(output[index], alone) <= OUTPUT_TOLERANCE[torch.float32]
        expected = torch.autograd.grad(
            alone.square().sum(), list(leaves.values()), materialize_grads=True
        )
        for name, found, one in zip(names, gradients, expected, strict=True):
            assert relative_error(found[index], one) <= GRADIENT_TOLERANCE[torch.float32], name


def test_the_session_overrides_and_records_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 3, 2)
    weight = torch.randn(2, 4)
    with kernels.session("reference") as entered:
        kernels.causal_conv1d(x, weight)
    assert entered.chosen == {"causal_conv1d": {"reference"}}
    monkeypatch.setenv("LENGTHWISE_BACKEND", "chunked")
    with kernels.session() as entered:
        kernels.causal_conv1d(x, weight)
    assert entered.chosen == {"causal_conv1d": {"chunked"}}


def test_the_session_records_torchs_softmax_attention() -> None:
    q = torch.randn(1, 1, 3, 2)
    with kernels.session() as entered:
        kernels.softmax_attention(q, q, q)
    assert entered.chosen == {"softmax_attention": {"sdpa"}}


def test_an_unknown_backend_is_refused_with_the_nearest_spelling() -> None:
    with pytest.raises(kernels.BackendUnavailableError, match="did you mean 'chunked'"):
        kernels.causal_conv1d(torch.randn(1, 3, 2), torch.randn(2, 4), backend="chunk")


@pytest.mark.parametrize("shape", [(0, 3, 2, 4), (1, 0, 2, 4), (1, 3, 0, 4), (1, 3, 2, 0)])
def test_an_empty_dimension_is_named(shape: tuple[int, ...]) -> None:
    q = torch.randn(shape)
    with pytest.raises(ValueError, match=r"[BTHK] is 0 in q"):
        kernels.gated_linear_attention(q, q, q)


def test_contradicting_shapes_are_named() -> None:
    q = torch.randn(1, 3, 2, 4)
    with pytest.raises(ValueError, match=r"k must be \[B, T, H, K\] with T = 3 as in q"):
        kernels.gated_linear_attention(q, q[:, :2], q)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="activation must be 'silu' or None, not 'gelu'"):
        kernels.causal_conv1d(torch.randn(1, 3, 2), torch.randn(2, 4), activation="gelu")  # pyright: ignore[reportArgumentType]


@each_backend()
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_half_precision_beside_float32_keeps_every_dtype(
    case: Case, backend: str, half: torch.dtype
) -> None:
    arguments = case.make(2, 70, torch.Generator().manual_seed(0))
    if not accepts(case, cast(arguments, half), backend):
        pytest.skip(f"{backend} refuses {half} here")
    check_mixed_precision(case, arguments, backend, half)
