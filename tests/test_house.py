"""The rules of the house: who may import whom, and how long a file may be."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "kernels": {"kernels"},
    "tasks": {"tasks"},
    "architectures": {"architectures", "kernels"},
    "harness": {"harness", "tasks", "architectures", "kernels"},
}
LONGEST_FILE = 300


def python_files(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported_rooms(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    ours = [name.split(".") for name in names if name.split(".")[0] == "lengthwise"]
    return {parts[1] for parts in ours}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    assert python_files(room)
    for file in python_files(room):
        assert imported_rooms(file) <= MAY_IMPORT[room], file


@pytest.mark.parametrize("room", [*MAY_IMPORT, "tests"])
def test_no_file_is_longer_than_300_lines(room: str) -> None:
    for file in python_files(room):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE, file
