"""The examples in docstrings run."""

import doctest
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

HOUSE = ("tasks", "architectures", "kernels", "harness")


def modules() -> list[ModuleType]:
    rooms = [import_module(f"lengthwise.{room}") for room in HOUSE]
    inner = [
        import_module(info.name)
        for room in rooms
        for info in pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    ]
    return [*rooms, *inner]


@pytest.mark.parametrize("module", modules(), ids=lambda module: module.__name__)
def test_docstring_examples_give_what_they_say(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0
