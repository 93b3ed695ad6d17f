"""The tests of the Triton kernels of rows and AdamW, on an NVIDIA GPU, else interpreted.

`test_triton.py` runs them where Triton has not been imported yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from lengthwise.kernels import BackendUnavailableError, adamw_, gpu_norm, l2_norm, rms_norm, swiglu
from lengthwise.kernels.gpu_rows import by_rows
from torch import Tensor

from tests.kernels.cases import relative_error

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = {torch.float32: 1e-6, torch.float16: 1e-3}
SINGLE = [torch.float32] * 3
Inputs = list[Tensor]


@dataclass(frozen=True)
class Case:
    """One call of an operator on (x, gate, weight), all of which it must read."""

    name: str
    call: Callable[..., Tensor]
    """(x, gate, weight, backend) -> output."""
    reads: tuple[int, ...]
    """Which of x, gate and weight the operator takes."""

    def __call__(self, inputs: Inputs, backend: str) -> Tensor:
        return self.call(*(inputs[place] for place in self.reads), backend=backend)


def _gated(x: Tensor, gate: Tensor, weight: Tensor, backend: str) -> Tensor:
    return rms_norm(x, weight, gate=gate, backend=backend)


def _gated_plain(x: Tensor, gate: Tensor, backend: str) -> Tensor:
    return rms_norm(x, gate=gate, eps=0.1, backend=backend)


CASES = [
    Case("rms-norm", rms_norm, (0, 2)),
    Case("rms-norm-plain", rms_norm, (0,)),
    Case("rms-norm-gated", _gated, (0, 1, 2)),
    Case("rms-norm-gated-plain", _gated_plain, (0, 1)),
    Case("l2-norm", l2_norm, (0,)),
    Case("swiglu", swiglu, (1, 0)),
]
SHAPES = [
    (5,),
    (2,),
    (1, 1, 1, 2),
    (300, 3),
    (2, 70, 64),
    (1, 1, 3000),
    (2, 3, 9, 20),
    (2, 150, 2, 16),
]

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_dtype = pytest.mark.parametrize("dtype", TOLERANCE, ids=lambda dtype: str(dtype)[6:])


def draw(shape: tuple[int, ...], *dtypes: torch.dtype, seed: int = 0) -> Inputs:
    """x, gate and weight."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (shape, shape, shape[-1:])
    drawn = (torch.randn(each, generator=generator) for each in shapes)
    return [each.to(DEVICE, dtype) for each, dtype in zip(drawn, dtypes, strict=True)]


def computed(case: Case, inputs: Inputs, backend: str) -> list[Tensor]:
    """The output and, for a fixed gradient of it, those of the inputs that the operator takes."""
    leaves = [each.detach().requires_grad_() for each in inputs]
    output = case(leaves, backend)
    incoming = torch.randn(output.shape, generator=torch.Generator().manual_seed(9)).to(DEVICE)
    taken = [leaves[place] for place in case.reads]
    gradients = torch.autograd.grad(output, taken, incoming.half().to(output.dtype))
    return [output.detach(), *gradients]


def hold(case: Case, inputs: Inputs, tolerance: float) -> None:
    found = computed(case, inputs, "triton")
    exact = computed(case, [each.double() for each in inputs], "reference")
    read = [inputs[case.reads[0]], *(inputs[place] for place in case.reads)]
    for one, other, source in zip(found, exact, read, strict=True):
        assert one.dtype == source.dtype
        assert relative_error(one, other) <= tolerance


@each_case
@each_dtype
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_equal_the_float64_formula(
    case: Case, dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    hold(case, draw(shape, dtype, dtype, dtype), TOLERANCE[dtype])


@each_case
@pytest.mark.parametrize("half", [(0,), (0, 1), (1,)], ids=["x", "x-gate", "gate"])
def test_each_tensor_may_have_its_own_dtype(case: Case, half: tuple[int, ...]) -> None:
    dtypes = [torch.float16 if place in half else torch.float32 for place in range(3)]
    hold(case, draw((2, 9, 20), *dtypes), TOLERANCE[torch.float16])


@each_case
def test_parts_of_a_larger_tensor_equal_copies_of_them(case: Case) -> None:
    (packed, _, weight) = draw((2, 70, 96), *SINGLE)
    x, _, gate = (each.unflatten(-1, (2, 16)) for each in packed.chunk(3, -1))
    assert by_rows(x[None]).tensor.data_ptr() == x.data_ptr()
    assert by_rows(gate[None]).tensor.data_ptr() == gate.data_ptr()
    turned = x.contiguous().mT.contiguous().mT
    for inputs in ([x, gate, weight[:16]], [turned, gate, packed[0, 0, ::6]]):
        copies = [x.contiguous(), gate.contiguous(), inputs[2].contiguous()]
        expected = computed(case, copies, "triton")
        assert all(map(torch.equal, computed(case, inputs, "triton"), expected))


@each_case
@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_the_incoming_gradient_may_be_expanded(case: Case, backend: str) -> None:
    leaves = [each.requires_grad_() for each in draw((2, 7, 20), *SINGLE)]
    taken = [leaves[place] for place in case.reads]
    found = torch.autograd.grad(case(leaves, "triton").sum(), taken)
    expected = torch.autograd.grad(case(leaves, backend), taken, torch.ones(2, 7, 20).to(DEVICE))
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) <= TOLERANCE[torch.float32]


@each_case
@pytest.mark.parametrize("shape", [(70, 20), (3, 70, 2, 16)], ids=str)
def test_members_stacked_by_vmap_get_the_bits_of_each_alone(
    case: Case, shape: tuple[int, ...]
) -> None:
    members = [draw(shape, *SINGLE, seed=seed) for seed in range(3)]
    stacked = [torch.stack(each, 1).requires_grad_() for each in zip(*members, strict=True)]

    def run(*inputs: Tensor) -> Tensor:
        return case(list(inputs), "triton")

    output = torch.func.vmap(run, in_dims=1)(*stacked)
    taken = [stacked[place] for place in case.reads]
    gradients = torch.autograd.grad(output.sin().sum(), taken)
    for index, member in enumerate(members):
        leaves = [each.requires_grad_() for each in member]
        alone = case(leaves, "triton")
        assert torch.equal(output[index], alone)
        expected = torch.autograd.grad(alone.sin().sum(), [leaves[place] for place in case.reads])
        for found, one in zip(gradients, expected, strict=True):
            assert torch.equal(found.select(1, index), one)


def test_members_may_share_a_weight() -> None:
    x, _, weight = (each.requires_grad_() for each in draw((3, 5, 20), *SINGLE))

    def gradients(backend: str) -> tuple[Tensor, ...]:
        run = torch.func.vmap(lambda rows: rms_norm(rows, weight, backend=backend))
        return torch.autograd.grad(run(x).sin().sum(), (x, weight))

    for found, expected in zip(gradients("triton"), gradients("reference"), strict=True):
        assert relative_error(found, expected) <= TOLERANCE[torch.float32]


def test_rows_of_one_number_have_a_small_gradient() -> None:
    """It is the difference of equal numbers, the size of 1 / |x|, but for eps."""
    for size, call in ((70, rms_norm), (1, l2_norm)):
        x = torch.linspace(1, 9, size, device=DEVICE)[:, None].requires_grad_()
        (found,) = torch.autograd.grad(call(x, backend="triton").sum(), x)
        (exact,) = torch.autograd.grad(call(x.double(), backend="reference").sum(), x)
        torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)
        hold(CASES[-1], [x, x + 1], TOLERANCE[torch.float32])


def test_rows_of_zeros_have_finite_gradients_without_eps_elsewhere() -> None:
    x = torch.zeros(3, 20, device=DEVICE, requires_grad=True)
    for output in (rms_norm(x, backend="triton"), l2_norm(x, backend="triton")):
        (gradient,) = torch.autograd.grad(output.sum(), x)
        assert not output.any()
        assert gradient.isfinite().all()
    rows, weight = draw((5, 20), *SINGLE)[::2]
    hold(
        Case("", lambda x, w, backend: rms_norm(x, w, eps=0.0, backend=backend), (0, 1)),
        [rows, weight],
        1e-6,
    )


@each_case
def test_the_operators_compile_into_one_graph(case: Case) -> None:
    leaves = [each.requires_grad_() for each in draw((2, 7, 20), *SINGLE)]
    taken = [leaves[place] for place in case.reads]

    def run(*inputs: Tensor) -> Tensor:
        return case(list(inputs), "triton").sin().sum()

    torch.compiler.reset()
    compiled = torch.compile(run, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), taken)
    assert all(map(torch.equal, found, torch.autograd.grad(run(*leaves), taken)))


def test_refusals_say_why() -> None:
    wide = torch.zeros(2, gpu_norm.WIDEST + 1, device=DEVICE)
    for call in (rms_norm, l2_norm):
        with pytest.raises(BackendUnavailableError, match="rows have up to 4096 numbers"):
            call(wide, backend="triton")
        with pytest.raises(BackendUnavailableError, match="there are no rows"):
            call(wide[:0, :4], backend="triton")
    with pytest.raises(BackendUnavailableError, match="in float32, not in float64"):
        swiglu(wide.double(), wide.double(), backend="triton")
    assert rms_norm(wide).shape == wide.shape


def _adamw(
    size: int, dtype: torch.dtype, backend: str, *members: int, **given: Any
) -> list[Tensor]:
    """Parameters and moments of some of four members after two steps."""
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.randn(4, size, generator=generator) for _ in range(5))
    parameters, first, second, *gradients = (
        each.to(DEVICE, dtype)[list(members)] for each in drawn
    )
    second.square_()
    values = {
        "lr": [1e-3, 0.1, 0.02, 1.0],
        "weight_decay": [0.1, 0.0, 1.0, 0.3],
        "beta1": [0.9, 0.0, 0.5, 0.99],
        "beta2": [0.999, 0.95, 0.0, 0.99],
    }
    settings: dict[str, Any] = {
        name: torch.tensor(each, dtype=torch.float64, device=DEVICE)[list(members)]
        for name, each in values.items()
    }
    settings["decayed"] = (torch.arange(size, device=DEVICE) % 3 > 0).float()
    for step, gradient in enumerate(gradients):
        kept = gradient.clone()
        count = torch.tensor(step, device=DEVICE)
        adamw_(parameters, gradient, first, second, step=count, backend=backend, **settings | given)
        assert torch.equal(gradient, kept)
    return [parameters, first, second]


@pytest.mark.parametrize("size", [1, 5, 1024, 3001])
@pytest.mark.parametrize("clip", [None, (0.5, torch.inf, 1e3, 2.0)], ids=["unclipped", "clipped"])
def test_adamw_equals_the_reference(
    size: int, clip: tuple[float, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lengthwise.kernels.adamw.triton.SHARES", 4)
    limits = None if clip is None else torch.tensor(clip, device=DEVICE)
    found = _adamw(size, torch.float32, "triton", 0, 1, 2, 3, clip=limits)
    exact = _adamw(size, torch.float64, "reference", 0, 1, 2, 3, clip=limits)
    for one, other in zip(found, exact, strict=True):
        assert relative_error(one, other) <= TOLERANCE[torch.float32]


def test_adamw_gives_a_member_the_bits_that_it_gets_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.kernels.adamw.triton.BLOCK", 16)
    monkeypatch.setattr("lengthwise.kernels.adamw.triton.SHARES", 8)
    limits = torch.tensor([0.5, 3.0], device=DEVICE)
    together = _adamw(300, torch.float32, "triton", 1, 3, clip=limits)
    exact = _adamw(300, torch.float64, "reference", 1, 3, clip=limits)
    for index, member in enumerate((1, 3)):
        alone = _adamw(300, torch.float32, "triton", member, clip=limits[index : index + 1])
        assert all(
            torch.equal(one[index], other[0]) for one, other in zip(together, alone, strict=True)
        )
    for one, other in zip(together, exact, strict=True):
        assert relative_error(one, other) <= TOLERANCE[torch.float32]


def test_adamw_takes_flags_numbers_and_float32_settings() -> None:
    flags = torch.arange(50, device=DEVICE) % 3 > 0
    by_number, by_flag = (
        _adamw(50, torch.float32, "triton", 0, 1, decayed=each) for each in (flags.float(), flags)
    )
    assert all(map(torch.equal, by_number, by_flag))
    single = {name: torch.tensor([0.9, 0.5], device=DEVICE) for name in ("beta1", "beta2", "lr")}
    found, exact = (
        _adamw(50, dtype, backend, 0, 1, **single)
        for dtype, backend in ((torch.float32, "triton"), (torch.float64, "reference"))
    )
    for one, other in zip(found, exact, strict=True):
        assert relative_error(one, other) <= TOLERANCE[torch.float32]


def test_adamw_refuses_to_update_a_copy_or_half_precision() -> None:
    turned = torch.zeros(4, 3, device=DEVICE).mT
    ones = [torch.ones(3, device=DEVICE) for _ in range(4)]
    names = ("lr", "weight_decay", "beta1", "beta2")
    given: dict[str, Any] = dict(zip(names, ones, strict=True))
    given |= {"decayed": torch.ones(4, device=DEVICE), "step": ones[0][0]}
    for each, reason in ((turned, "be contiguous"), (turned.contiguous().half(), "be float32")):
        with pytest.raises(BackendUnavailableError, match=reason):
            adamw_(each, each, each, each, backend="triton", **given)
