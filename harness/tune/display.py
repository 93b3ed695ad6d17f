"""What somebody sees while a study runs: a bar an architecture, a line a batch."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lengthwise.harness.tune.bookkeeping import Book
from lengthwise.harness.workers import Watch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

LOOK_SECONDS = 2.0
"""Between two looks at the storage, which others may write to as well."""


@contextmanager
def watching_trials(books: dict[str, Book], console: Console) -> Iterator[Watch]:
    """A live display of the trials; where there is no terminal, a line when they are over."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("trials {task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
    )
    bars = {
        label: progress.add_task(escape(label), total=book.trials, note="")
        for label, book in books.items()
    }
    notes: dict[int, str] = {}
    doing: dict[int, str] = {}
    looked = 0.0
    begin, before = time.monotonic(), sum(book.finished() for book in books.values())

    def look() -> None:
        for label, book in books.items():
            now = [notes.get(index, "") for index, each in doing.items() if each == label]
            progress.update(
                bars[label],
                completed=book.finished(),
                note=escape("; ".join(filter(None, now))),
            )

    def watch(index: int, message: dict[str, Any]) -> None:
        nonlocal looked
        if "architecture" in message:
            doing[index] = message["architecture"]
            notes[index] = ""
        elif "step" in message:
            notes[index] = f"{message['members']} members at step {message['step']:,}"
        elif "testing" in message:
            notes[index] = f"validating at {message['testing']}"
        elif "ended" in message:
            doing.pop(index, None)
        if time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            look()

    with progress:
        look()
        yield watch
        doing.clear()
        look()
    for label, book in books.items():
        console.print(f"[dim]✓[/] {escape(label)}: {outcome(book)}", highlight=False)
    done, seconds = (
        sum(book.finished() for book in books.values()) - before,
        time.monotonic() - begin,
    )
    if done:
        rate = f"{done} trials in {seconds:.0f} s: {done / seconds:.2f} trials a second"
        console.print(f"[dim]✓[/] {rate}", highlight=False)


def outcome(book: Book) -> str:
    """How a study's trials ended, in a line."""
    counts: dict[str, int] = {}
    for trial in book.counted():
        how = str(trial.user_attrs.get("ended", trial.state.name.lower())).replace("_", " ")
        counts[how] = counts.get(how, 0) + 1
    return f"{book.trials} trials: " + ", ".join(f"{n} {how}" for how, n in counts.items())
