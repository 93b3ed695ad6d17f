"""How the launches of one call are compiled and started, with kernels that only take notes."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lengthwise.kernels import gpu


class Kernel:
    """Stands for a Triton kernel; notes what is done with it."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.name, self.notes = name, notes

    def warmup(self, *_: Any, grid: tuple[int, ...], **options: Any) -> SimpleNamespace:
        assert grid == (3, 1)
        assert options == {"C": 16, "num_warps": 2, "num_stages": 1}
        self.notes.append("compile")
        return SimpleNamespace(run=None)

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda x, **_: self.notes.append(f"start {self.name} {grid} {x.dtype}")


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Kernel], list[str]]:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(gpu, "_variants", set())
    notes: list[str] = []
    return [Kernel(name, notes) for name in ("first", "second")], notes


def call(kernels: list[Kernel], x: torch.Tensor) -> None:
    with gpu.launching(x) as launch:
        for kernel in kernels:
            launch(kernel, 3, 1, warps=2, stages=1)(x, C=16)


def test_new_variants_compile_before_the_launches_begin_in_order(
    kernels: tuple[list[Kernel], list[str]],
) -> None:
    made, notes = kernels
    x = torch.zeros(2)
    started = [f"start {name} (3, 1) torch.float32" for name in ("first", "second")]
    call(made, x)
    assert notes == ["compile", "compile", *started]
    notes.clear()
    call(made, x)
    assert notes == started
    notes.clear()
    call(made, x.double())
    assert notes[:2] == ["compile", "compile"]


def test_one_new_variant_compiles_at_its_launch(
    kernels: tuple[list[Kernel], list[str]],
) -> None:
    made, notes = kernels
    call(made[:1], torch.zeros(2))
    assert notes == ["start first (3, 1) torch.float32"]


def test_nothing_is_launched_by_a_call_that_fails(kernels: tuple[list[Kernel], list[str]]) -> None:
    made, notes = kernels
    x = torch.zeros(2)

    def fail() -> None:
        with gpu.launching(x) as launch:
            launch(made[0], 3, 1, warps=2, stages=1)(x, C=16)
            raise ValueError("on the way")

    with pytest.raises(ValueError, match="on the way"):
        fail()
    assert notes == []


def test_a_launch_for_later_compiles_with_the_others_and_does_not_begin(
    kernels: tuple[list[Kernel], list[str]],
) -> None:
    made, notes = kernels
    x = torch.zeros(2)
    with gpu.launching(x) as launch:
        launch(made[0], 3, 1, warps=2, stages=1)(x, C=16)
        launch(made[1], 3, 1, warps=2, stages=1, later=True)(x, C=16)
    assert notes == ["compile", "compile", "start first (3, 1) torch.float32"]
    notes.clear()
    call(made, x)
    assert notes == [f"start {name} (3, 1) torch.float32" for name in ("first", "second")]
