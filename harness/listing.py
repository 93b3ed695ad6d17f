"""Tables of what there is: tasks, architectures, kernels, suites."""

from collections.abc import Iterable
from pathlib import Path

from lengthwise import kernels
from lengthwise.harness import plugins
from lengthwise.harness.source import InputError
from lengthwise.harness.validation import chosen_with
from lengthwise.tasks.task import Task
from rich.markup import escape
from rich.table import Table


def listing(what: str) -> Table:
    """A table of what is asked for."""
    if what == "kernels":
        return _table(
            ("operator", "backends, best first"),
            [(name, ", ".join(backends)) for name, backends in kernels.operators().items()],
        )
    if what == "suites":
        found = sorted(Path("configs").rglob("*.yaml"))
        if not found:
            raise InputError("there is no configs/ with suites in this folder")
        return _table(
            ("suite", "what it is"), [(str(path), _first_comment(path)) for path in found]
        )
    kind = plugins.TASK if what == "tasks" else plugins.MIXER
    rows = [_described(kind, name) for name in plugins.names(kind)]
    return _table(("name", "what it is", "options"), rows)


def make_task(name: str, assignments: Iterable[str]) -> Task:
    """A task by name, with options from "name=value".

    Raises:
        InputError: there is no such task, or an option is wrong.
    """
    chosen = chosen_with(plugins.TASK, name, assignments)
    try:
        return chosen.plugin(**chosen.options)
    except ValueError as error:
        raise InputError(f"{name}: {error}") from None


def _described(kind: plugins.Kind, name: str) -> tuple[str, str, str]:
    try:
        plugin = plugins.find(kind, name)
    except plugins.PluginError as error:
        return name, f"({error})", ""
    fields = plugins.options_model(kind, plugin).model_fields
    options = [
        option if field.is_required() else f"{option}={field.default}"
        for option, field in fields.items()
    ]
    return name, plugins.headline(plugin), ", ".join(options)


def _first_comment(path: Path) -> str:
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""


def _table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table
