"""The tests of the chunkwise Triton kernels, on an NVIDIA GPU or else interpreted.

`test_triton.py` runs them where Triton has not been imported yet: it decides on its first import
whether it interprets.
"""

import importlib
import inspect
from functools import partial
from typing import Any

import pytest
import torch
from lengthwise.harness.bench.kernels.cases import delta, linear, relative_error
from lengthwise.harness.bench.kernels.check import grid
from lengthwise.kernels import (
    BackendUnavailableError,
    gated_delta_rule,
    gated_linear_attention,
    gpu_plan,
)
from lengthwise.kernels.gpu import launching
from torch import Tensor

from tests.kernels.placed import DEVICE, DTYPES, Placed, hold, hold_mixed, name_of

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
]
LONG = [
    (delta(2, 16, 16, 0.1, (0, 1.9)), 1, 75),
    (delta(1, 130, 16, None, (1, 1)), 1, 70),
    (linear(1, 16, 16, 0.1), 1, 75),
    (linear(1, 16, 16, None), 1, 75),
    (linear(1, 20, 16, 0.1, channel=True), 1, 70),
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


@pytest.mark.parametrize("placed", LONG, ids=name_of)
def test_segments_side_by_side_equal_the_float64_recurrence(
    placed: Placed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_plan, "SEGMENT", 32)
    hold(placed)


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
