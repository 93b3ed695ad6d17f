"""What `train.precision` sets, in every product of a step and nowhere else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lengthwise.harness.population import Population
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tests.harness.tiny import runs

PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}
each_precision = pytest.mark.parametrize(
    ("precision", "expected"),
    [("float32", "highest"), ("tf32", "high"), ("bfloat16", "highest")],
)


class Products(TorchDispatchMode):
    """Notes at every product its dtype, and how float32 matrices are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[torch.dtype, str]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in PRODUCTS:
            self.found.append((args[-1].dtype, torch.get_float32_matmul_precision()))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def around() -> Iterator[str]:
    """What holds outside of a step: no setting of ours."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield "medium"
    torch.set_float32_matmul_precision(before)


def stacked(folder: Path, precision: str) -> Population:
    made = runs(folder, f"train.precision={precision}")
    return Population([run for run in made if run.architecture == "attention"])


@each_precision
def test_products_are_as_precise_backwards_as_forwards(
    tmp_path: Path, precision: str, expected: str, around: str
) -> None:
    population = stacked(tmp_path, precision)
    batch = population.batch("train", 0, 8, 16)
    with Products() as forwards:
        population.losses(batch)
    with Products() as step:
        population.learn(batch)
    assert len(step.found) >= 2 * len(forwards.found) > 0
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    assert {*forwards.found, *step.found} == {(dtype, expected)}
    assert torch.get_float32_matmul_precision() == around


@each_precision
def test_the_backward_pass_runs_without_autocast(
    tmp_path: Path, precision: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its beginning, and at its end, when the gradient of all parameters is there."""
    population = stacked(tmp_path, precision)
    found: list[tuple[bool, str]] = []

    def note(_: Tensor) -> None:
        found.append((torch.is_autocast_enabled("cpu"), torch.get_float32_matmul_precision()))

    def noted(batch: Any) -> Tensor:
        losses = Population.losses(population, batch)
        losses.register_hook(note)
        return losses

    monkeypatch.setattr(population, "losses", noted)
    population.flat.register_hook(note)
    population.learn(population.batch("train", 0, 8, 16))
    assert found == [(False, expected)] * 2
