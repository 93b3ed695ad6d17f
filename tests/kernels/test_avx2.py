"""The compiled backends beyond what every backend must do: odd sizes, NaN, threads, compilation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.harness.bench.kernels.cases import relative_error
from lengthwise.kernels import BackendUnavailableError
from torch import Tensor

from tests.kernels.avx2_calls import (
    HEADS,
    OPERATORS,
    Make,
    Run,
    needs_library,
    scan,
    scan_inputs,
    with_gradients,
)

each_operator = pytest.mark.parametrize(("run", "make"), OPERATORS)


@needs_library
@each_operator
@given(
    batch=st.integers(1, 3),
    length=st.integers(1, 100),
    channels=st.integers(1, 70),
    size=st.integers(1, 20),
    seed=st.integers(0, 2**32),
)
def test_any_sizes_give_the_recurrence_and_its_gradients(
    run: Run, make: Make, batch: int, length: int, channels: int, size: int, seed: int
) -> None:
    inputs = make(batch, length, channels, size, seed)
    expected = with_gradients(run, [each.double() for each in inputs], "reference")
    for found, exact in zip(with_gradients(run, inputs), expected, strict=True):
        assert relative_error(found, exact) <= 1e-4


@needs_library
@each_operator
def test_a_long_sequence_equals_the_chunked_form_in_float64(run: Run, make: Make) -> None:
    inputs = make(1, 2**16 + 5, 3, 2)
    expected = with_gradients(run, [each.double() for each in inputs], "chunked")
    for found, exact in zip(with_gradients(run, inputs), expected, strict=True):
        assert relative_error(found, exact) <= 1e-4


@needs_library
@each_operator
def test_strided_and_misaligned_inputs_give_the_same_result(run: Run, make: Make) -> None:
    inputs = make(2, 37, 11, 5)
    odd = [torch.stack([torch.zeros_like(each), each], -1)[..., 1] for each in inputs]
    odd[0] = inputs[0].mT.contiguous().mT
    odd[1] = torch.cat([torch.zeros(1), inputs[1].flatten()])[1:].view_as(inputs[1])
    for found, expected in zip(with_gradients(run, odd), with_gradients(run, inputs), strict=True):
        assert torch.equal(found, expected)


@needs_library
@each_operator
@pytest.mark.usefixtures("threads")
def test_the_number_of_threads_changes_no_bit(run: Run, make: Make) -> None:
    inputs = make(6, 500, 75, 17)  # enough work for three
    results: list[list[Tensor]] = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(with_gradients(run, inputs))
    for other in results[1:]:
        assert all(torch.equal(*pair) for pair in zip(results[0], other, strict=True))


@needs_library
@each_operator
@pytest.mark.filterwarnings(
    "ignore:.torch.jit.script. is deprecated:DeprecationWarning"
)  # torch's own
def test_what_cannot_be_differentiated_is_refused_and_never_zero(run: Run, make: Make) -> None:
    inputs = make(2, 5, 3, 2)
    leaves = [each.clone().requires_grad_() for each in inputs]
    first = torch.autograd.grad(run(leaves, "avx2")[0].square().sum(), leaves[0], create_graph=True)
    with pytest.raises(NotImplementedError, match="second derivatives"):
        torch.autograd.grad(first[0].sum(), leaves[0])

    def loss(x: Tensor, backend: str | None = None) -> Tensor:
        return run([x, *inputs[1:]], backend)[0].square().sum()

    expected = torch.autograd.grad(loss(leaves[0]), leaves[0])[0]
    torch.testing.assert_close(torch.func.grad(loss)(inputs[0]), expected)
    tangent = torch.func.jvp(loss, (inputs[0],), (torch.ones_like(inputs[0]),))[1]
    torch.testing.assert_close(tangent, expected.sum())
    with pytest.raises(BackendUnavailableError, match=r"inside torch\.func\.grad"):
        torch.func.grad(lambda x: loss(x, "avx2"))(inputs[0])


@needs_library
def test_nan_spoils_its_own_sequence_from_its_step_on_and_nothing_else() -> None:
    inputs = scan_inputs(3, 40, 9, 4)
    output, state = scan(inputs)
    inputs[0][1, 20, 3] = torch.nan
    spoiled, spoiled_state = scan(inputs)
    assert spoiled[1, 20:, 3].isnan().all()
    assert spoiled_state[1, 3].isnan().all()
    spoiled[1, 20:, 3] = output[1, 20:, 3]
    spoiled_state[1, 3] = state[1, 3]
    assert torch.equal(spoiled, output)
    assert torch.equal(spoiled_state, state)
    gradients = with_gradients(scan, inputs)[2:4]
    for gradient in gradients:
        assert gradient[1, :, 3].isnan().any()
        assert not gradient[[0, 2]].isnan().any()


@needs_library
def test_the_exponential_is_good_to_the_last_places_and_right_at_its_ends() -> None:
    exponents = torch.linspace(-87, 88, 100_001)
    ends = torch.tensor([-1e30, -torch.inf, -150.0, 0.0, 150.0, torch.inf, torch.nan])

    def decay(A: Tensor) -> Tensor:
        ones, zero = torch.ones(len(A)), torch.zeros(1, 1, 1)
        step = ones[None, None]
        _, state = scan([0 * step, step, A[:, None], zero, zero, ones, ones[None, :, None]])
        return state.flatten()

    expected = exponents.double().exp()
    assert ((decay(exponents) - expected).abs() / expected).max() <= 1.5 * 2**-23
    wanted = torch.tensor([0.0, 0.0, 0.0, 1.0, torch.inf, torch.inf, torch.nan])
    assert torch.equal(decay(ends).nan_to_num(-1), wanted.nan_to_num(-1))


@needs_library
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("run", "make"), [pytest.param(scan, scan_inputs, id="scan"), *HEADS])
def test_half_precision_keeps_its_dtype_and_a_float32_state(
    run: Run, make: Make, dtype: torch.dtype
) -> None:
    inputs = [each.to(dtype) for each in make(2, 9, 10, 3)]
    output, state = run(inputs, "avx2")
    assert (output.dtype, state.dtype) == (dtype, torch.float32)
    expected, expected_state = run(inputs, "reference")
    assert torch.equal(output, expected) or relative_error(output, expected) <= 2**-8
    assert relative_error(state, expected_state) <= 1e-5


@needs_library
@each_operator
@pytest.mark.parametrize("stacked", [False, True])
def test_torch_compile_gives_the_same_gradients(run: Run, make: Make, stacked: bool) -> None:
    torch.compiler.reset()  # it gives up after so many operators
    inputs = make(2, 35, 9, 5)
    if stacked:
        inputs = [torch.stack([each, 0.5 * each]) for each in inputs]
    leaves = [each.requires_grad_() for each in inputs]

    def loss(*inputs: Tensor) -> Tensor:
        output, state = run(list(inputs), "avx2")
        return output.square().sum() + state.sum()

    def total(*inputs: Tensor) -> Tensor:
        return torch.func.vmap(loss)(*inputs).sum() if stacked else loss(*inputs)

    compiled = torch.compile(total, backend="aot_eager", fullgraph=True)
    found = torch.autograd.grad(compiled(*leaves), leaves)
    expected = torch.autograd.grad(total(*leaves), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
