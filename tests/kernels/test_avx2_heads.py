"""The compiled operators with a state a head: NaN, one token, few heads, hard numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.harness.bench.kernels.cases import relative_error
from torch import Tensor

from tests.kernels.avx2_calls import (
    HEADS,
    Make,
    Run,
    delta,
    delta_inputs,
    needs_library,
    with_gradients,
)


def check_against_the_recurrence(run: Run, inputs: list[Tensor]) -> None:
    exact = with_gradients(run, [each.double() for each in inputs], "reference")
    found = with_gradients(run, inputs)
    for place, (one, other) in enumerate(zip(found, exact, strict=True)):
        assert relative_error(one, other) <= (1e-5 if place < 2 else 1e-4)


@needs_library
@pytest.mark.parametrize(("run", "make"), HEADS)
def test_nan_spoils_its_own_head_from_its_step_on_and_nothing_else(run: Run, make: Make) -> None:
    inputs = make(3, 40, 9, 12)
    output, state = run(inputs, "avx2")
    inputs[2][1, 20, 0, 3] = torch.nan
    spoiled, spoiled_state = run(inputs, "avx2")
    assert spoiled[1, 20:, 0, 3].isnan().all()
    assert spoiled_state[1, 0, :, 3].isnan().all()
    spoiled[1, 20:, 0, 3] = output[1, 20:, 0, 3]
    spoiled_state[1, 0, :, 3] = state[1, 0, :, 3]
    assert torch.equal(spoiled, output)
    assert torch.equal(spoiled_state, state)
    for gradient in with_gradients(run, inputs)[2:4]:
        assert gradient[1, :, 0].isnan().any()
        assert not gradient[[0, 2]].isnan().any()
        assert not gradient[1, :, 1].isnan().any()


@needs_library
@pytest.mark.parametrize(("run", "make"), HEADS)
@given(
    batch=st.integers(1, 3),
    values=st.integers(1, 130),
    keys=st.integers(1, 130),
    fresh=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_one_token_without_gradients_equals_the_recurrence(
    run: Run, make: Make, batch: int, values: int, keys: int, fresh: bool, seed: int
) -> None:
    inputs = make(batch, 1, values, keys, seed)
    if fresh:
        inputs[-1] = torch.zeros_like(inputs[-1])
    exact = run([each.double() for each in inputs], "reference")
    with torch.no_grad():
        found = run(inputs, "avx2")
        without = run([*inputs[:-1], None] if fresh else inputs, "avx2")  # type: ignore[list-item]
    for one, other, expected in zip(found, without, exact, strict=True):
        assert relative_error(one, expected) <= 1e-5
        assert torch.equal(one, other)


@needs_library
@pytest.mark.parametrize(("run", "make"), HEADS)
@pytest.mark.usefixtures("threads")
def test_one_head_on_many_threads_gives_the_same_result(run: Run, make: Make) -> None:
    """Value columns are shared out then; gradients are summed over their groups."""
    inputs = [each[:, :, :1] for each in make(1, 2500, 70, 24)[:-1]]
    inputs.append(make(1, 1, 70, 24)[-1][:, :1])
    torch.set_num_threads(1)
    expected = with_gradients(run, inputs)
    torch.set_num_threads(4)
    found = with_gradients(run, inputs)
    assert all(torch.equal(*pair) for pair in zip(found[:2], expected[:2], strict=True))
    for one, other in zip(found, expected, strict=True):
        assert relative_error(one, other) <= 1e-5


@needs_library
@pytest.mark.parametrize(("run", "make"), HEADS)
@pytest.mark.parametrize("size", [1, 16, 192, 256])
def test_heads_of_every_size_give_the_recurrence(run: Run, make: Make, size: int) -> None:
    inputs = make(1, 70, size, size)
    check_against_the_recurrence(run, inputs)


@needs_library
@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_repeated_keys_give_the_recurrence(beta: float) -> None:
    """The system of the corrections is worst conditioned where all keys of a chunk are one."""
    q, k, v, _, _, initial_state = delta_inputs(2, 100, 8, 16)
    k = k[:, :1].expand_as(k)
    strength = torch.full(k.shape[:3], beta)
    inputs = [q, k, v, strength, torch.zeros(k.shape[:3]), initial_state]
    check_against_the_recurrence(delta, inputs)


@needs_library
@pytest.mark.parametrize(("run", "make"), HEADS)
def test_decays_beyond_what_float32_holds_forget_everything(run: Run, make: Make) -> None:
    inputs = make(1, 50, 8, 8)
    inputs[-2][:, 20] = -torch.inf
    inputs[-2][:, 30] = -1e4
    check_against_the_recurrence(run, inputs)
