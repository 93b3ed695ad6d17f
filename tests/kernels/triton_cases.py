"""The tests of the Triton kernels, on an NVIDIA GPU where there is one, else interpreted.

`test_triton.py` runs them in a process of their own: Triton decides on its first import whether it
interprets.
"""

import importlib
import inspect
from functools import partial
from typing import Any

import pytest
import torch
from lengthwise.harness.bench.kernels.cases import (
    Case,
    convolution,
    delta,
    linear,
    relative_error,
    scan,
)
from lengthwise.harness.bench.kernels.check import check, grid
from lengthwise.kernels import (
    BackendUnavailableError,
    causal_conv1d,
    gated_delta_rule,
    gated_linear_attention,
    gpu_plan,
    selective_scan,
)
from lengthwise.kernels.gpu import launching
from torch import Tensor

from tests.kernels.cases import check_mixed_precision

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SCAN: Any = importlib.import_module("lengthwise.kernels.selective_scan.triton")


SHORT = [
    (delta(2, 16, 16, 0.1, (1, 1)), 2, 1),
    (delta(2, 16, 16, None, (2, 2)), 2, 37),
    (delta(2, 20, 40, 0.1, (0, 1.9)), 1, 37),
    (delta(1, 64, 80, 20.0, (0, 0)), 1, 33),
    (delta(1, 16, 16, 0.1, (0, 0.03)), 1, 33),
    (delta(1, 16, 16, None, (1, 1), repeated=True), 1, 64),
    (delta(1, 16, 16, 0.0, (1, 1), state=False), 2, 33),
    (linear(2, 16, 16, 0.1), 2, 1),
    (linear(2, 24, 16, None), 2, 37),
    (linear(1, 16, 130, 20.0), 1, 70),
    (linear(2, 20, 40, 0.1, channel=True), 1, 37),
    (linear(1, 16, 16, 20.0, channel=True), 2, 18),
    (scan(3, 4), 2, 1),
    (scan(40, 3, bias=True), 1, 21),
    (convolution(8, 4), 2, 1),
    (convolution(8, 4, "silu"), 2, 1),
    (convolution(70, 4), 1, 71),
    (convolution(70, 4, "silu"), 1, 71),
    (convolution(40, 9, "silu"), 1, 70),
    (convolution(16, 1), 2, 9),
]
LONG = [
    (delta(2, 16, 16, 0.1, (0, 1.9)), 1, 75),
    (delta(1, 130, 16, None, (1, 1)), 1, 70),
    (linear(1, 16, 16, 0.1), 1, 75),
    (linear(1, 16, 16, None), 1, 75),
    (linear(1, 20, 16, 0.1, channel=True), 1, 70),
]
Placed = tuple[Case, int, int]
"""A case with its batch and length."""


def name_of(placed: Placed) -> str:
    return "-".join(map(str, placed))


@pytest.mark.parametrize("placed", SHORT, ids=name_of)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=["float32", "float16"])
def test_output_state_and_gradients_equal_the_float64_recurrence(
    placed: Placed, dtype: torch.dtype
) -> None:
    error = check(*placed, dtype, DEVICE)
    assert error.ok, error


@pytest.mark.parametrize("placed", SHORT[2::3], ids=name_of)
def test_half_precision_beside_float32_keeps_every_dtype(placed: Placed) -> None:
    case, batch, length = placed
    arguments = case.make(batch, length, torch.Generator(DEVICE).manual_seed(0))
    check_mixed_precision(case, arguments, "triton", torch.float16)


@pytest.mark.parametrize("placed", LONG, ids=name_of)
def test_segments_side_by_side_equal_the_float64_recurrence(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_plan, "SEGMENT", 32)
    error = check(*placed, torch.float32, DEVICE)
    assert error.ok, error


@pytest.mark.parametrize(
    "placed", [(scan(4, 2), 1, 35), (scan(32, 5, bias=True), 2, 40)], ids=name_of
)
@pytest.mark.parametrize("programs", [1, 1000], ids=["one segment", "segments"])
def test_segments_of_a_scan_equal_the_float64_recurrence(
    placed: Placed, programs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SCAN, "FORWARD", programs)
    monkeypatch.setattr(SCAN, "BACKWARD", programs)
    monkeypatch.setattr(SCAN, "SHORTEST", 2)
    monkeypatch.setattr(SCAN, "RUNS", 2)
    error = check(*placed, torch.float32, DEVICE)
    assert error.ok, error


@pytest.mark.parametrize("size", [16, 32])
def test_the_inverse_keeps_its_digits_for_one_repeated_key_and_beta_2(size: int) -> None:
    from lengthwise.kernels.gpu_systems import invert_systems

    keys = torch.zeros(1, size, 1, 16, device=DEVICE)
    keys[..., 0] = 1
    beta = torch.full((1, size, 1), 2.0, device=DEVICE)
    inverse = torch.full((1, 1, size, size), torch.nan, device=DEVICE)
    constants: dict[str, Any] = {"K": 16, "BK": 16, "C": size, "GATE": 0, "DOT": "tf32x3"}
    with launching(keys) as launch:
        launch(invert_systems, 1, 1, warps=1)(keys, beta, None, inverse, size, 1, **constants)
    system = torch.eye(size) + 2 * torch.ones(size, size).tril(-1)
    expected = torch.linalg.inv(system.double())
    assert relative_error(inverse[0, 0].cpu(), expected) <= 1e-6


def _inputs(length: int, *, decay: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, length, 1, 16, generator=generator) for _ in range(3))
    k = torch.nn.functional.normalize(k, dim=-1)
    beta = torch.rand(1, length, 1, generator=generator)
    return [each.to(DEVICE) for each in (q, k, v, beta, torch.full_like(beta, decay))]


def _gradients(inputs: list[Tensor], backend: str) -> list[Tensor]:
    leaves = [each.detach().requires_grad_() for each in inputs]
    output, state = gated_delta_rule(*leaves, backend=backend)
    return [output, *torch.autograd.grad(output.sin().sum() + state.sin().sum(), leaves)]


def test_the_gradient_of_a_strong_decay_keeps_its_digits() -> None:
    inputs = _inputs(40, decay=-20.0)
    expected = _gradients([each.double() for each in inputs], "reference")
    for found, exact in zip(_gradients(inputs, "triton"), expected, strict=True):
        assert relative_error(found, exact) <= 1e-5


def test_a_decay_of_minus_infinity_forgets_everything() -> None:
    inputs = _inputs(40, decay=-0.1)
    inputs[4][:, 13] = -torch.inf
    expected = _gradients([each.double() for each in inputs], "reference")
    for found, exact in zip(_gradients(inputs, "triton"), expected, strict=True):
        assert relative_error(found, exact) <= 1e-5
    channels = inputs[4][..., None].expand(-1, -1, -1, 16)
    q, k, v, *_ = inputs
    found, _ = gated_linear_attention(q, k, v, channels, backend="triton")
    exact, _ = gated_linear_attention(q, k, v, inputs[4], backend="reference")
    assert relative_error(found, exact) <= 1e-5


def test_the_same_call_gives_the_same_bits() -> None:
    inputs = _inputs(70, decay=-0.1)
    first, second = _gradients(inputs, "triton"), _gradients(inputs, "triton")
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_stacking_by_vmap_equals_one_call_a_member() -> None:
    members = [_inputs(19, decay=-0.1 * index) for index in range(1, 3)]
    stacked = [torch.stack(each).requires_grad_() for each in zip(*members, strict=True)]
    output, _ = torch.func.vmap(partial(gated_delta_rule, backend="triton"))(*stacked)
    gradients = torch.autograd.grad(output.sin().sum(), stacked)
    for index, member in enumerate(members):
        leaves = [each.clone().requires_grad_() for each in member]
        alone, _ = gated_delta_rule(*leaves, backend="triton")
        assert relative_error(output[index], alone) <= 1e-6
        expected = torch.autograd.grad(alone.sin().sum(), leaves)
        for found, one in zip(gradients, expected, strict=True):
            assert relative_error(found[index], one) <= 1e-6


def test_a_scan_stacks_members_that_have_their_own_rates() -> None:
    generator = torch.Generator(DEVICE).manual_seed(0)
    made = [scan(3, 2, bias=True).make(2, 9, generator) for _ in range(2)]
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


def test_the_operator_compiles_into_one_graph() -> None:
    inputs = _inputs(20, decay=-0.1)
    leaves = [each.requires_grad_() for each in inputs]

    def run(*each: Tensor) -> Tensor:
        return gated_delta_rule(*each, backend="triton")[0].sin().sum()

    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves)
    expected = torch.autograd.grad(run(*leaves), leaves)
    assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_refusals_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = torch.zeros(1, 1, 1, 300, device=DEVICE)
    with pytest.raises(BackendUnavailableError, match="head sizes go up to 256"):
        gated_linear_attention(wide, wide, wide, backend="triton")
    q = torch.zeros(1, 2, 1, 16, device=DEVICE)
    run = torch.func.grad(
        lambda each: gated_linear_attention(each, each, each, backend="triton")[0].sum()
    )
    with pytest.raises(BackendUnavailableError, match=r"neither inside torch\.func\.grad"):
        run(q)
    if DEVICE == "cpu":
        half = q.bfloat16()
        with pytest.raises(BackendUnavailableError, match="interpreter multiplies no bfloat16"):
            gated_linear_attention(half, half, half, backend="triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    on_cpu = q.cpu()
    with pytest.raises(BackendUnavailableError, match="computes on cuda, not on cpu"):
        gated_linear_attention(on_cpu, on_cpu, on_cpu, backend="triton")


def test_no_product_is_transposed_in_registers() -> None:
    """Triton 3.4 to 3.7.0 miscompiles such a left factor on Hopper; tiles are loaded turned."""
    names = (
        "gpu_convolution",
        "gpu_gradients",
        "gpu_segments",
        "gpu_states",
        "gpu_systems",
        "gpu_tiles",
    )
    for name in names:
        source = inspect.getsource(importlib.import_module(f"lengthwise.kernels.{name}"))
        assert "tl.trans(" not in source
        assert ".T" not in source


def test_the_grid_of_the_gpu_check_covers_what_it_promises() -> None:
    placed = list(grid())
    lengths = {length for _, _, length in placed}
    assert {1, 65536} <= lengths
    assert any(length % 2 and length > 1 for length in lengths)
    assert len({name_of(each) for each in placed}) == len(placed)


@pytest.mark.parametrize("members", [1, 3])
def test_a_convolution_reads_its_part_of_a_projection_where_it_is(members: int) -> None:
    generator = torch.Generator().manual_seed(members)
    wide = torch.randn(members, 2, 37, 48, generator=generator).to(DEVICE)
    weight = torch.randn(members, 20, 4, generator=generator).to(DEVICE).requires_grad_()
    incoming = torch.randn(members, 2, 37, 20, generator=generator).to(DEVICE)
    call = partial(causal_conv1d, activation="silu", backend="triton")
    found: list[list[Tensor]] = []
    for x in (wide[..., 7:27], wide[..., 7:27].contiguous()):
        x.requires_grad_()
        output, state = torch.func.vmap(call)(x, weight)
        gradients = torch.autograd.grad([output], [x, weight], [incoming])
        found.append([output, state, *gradients])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
