"""What somebody sees while a suite runs: a bar a running job, and the time that is left."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lengthwise.harness.job import Job
from lengthwise.harness.report import summary
from lengthwise.harness.report.results import Results
from lengthwise.harness.store import Store
from lengthwise.harness.workers import Watch
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table


@contextmanager
def watching(jobs: Sequence[Job], console: Console) -> Iterator[Watch]:
    """A live display of the jobs; where there is no terminal, a line a job that ends."""
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        speed_estimate_period=120,
    )
    planned = [job.runs[0].train.steps for job in jobs]
    everything = progress.add_task(
        "all runs", total=sum(planned), note=f"0/{len(jobs)} populations"
    )
    bars: dict[int, Any] = {}
    steps = [0] * len(jobs)
    ended: set[int] = set()

    def watch(index: int, message: dict[str, Any]) -> None:
        job = jobs[index]
        if "started" in message:
            bars[index] = progress.add_task(
                escape(job.label), total=planned[index], note="starting"
            )
        elif "ended" in message:
            progress.remove_task(bars.pop(index))
            steps[index] = planned[index]
            ended.add(index)
            broken, how = outcome(job)
            mark = "[red]✗[/]" if broken else "[dim]✓[/]"
            progress.console.print(f"{mark} {escape(f'{job.label}: {how}')}", highlight=False)
        elif "waiting" in message:
            progress.update(bars[index], note="another process works on these runs")
        elif "testing" in message:
            steps[index] = planned[index]
            note = f"testing at {message['testing']}"
            progress.update(bars[index], completed=planned[index], note=note)
        else:
            steps[index] = message["step"]
            progress.update(bars[index], completed=message["step"], note=_note(message))
        note = f"{len(ended)}/{len(jobs)} populations"
        progress.update(everything, completed=sum(steps), note=note)

    with progress:
        yield watch


def _note(message: dict[str, Any]) -> str:
    if message["validation"] is None:
        return f"{message['members']} members"
    return (
        f"{message['members']} members, loss {message['loss']:.3g}, "
        f"best accuracy {message['validation']:.3f}"
    )


def outcome(job: Job) -> tuple[bool, str]:
    """Whether something broke, and how a job's runs ended, in a line."""
    store = Store.open(job.root)
    counts: dict[str, int] = {}
    broken = False
    for run in job.runs:
        failure = store.failure(run.id, job.evaluations)
        broken |= bool(failure)
        if failure:
            how = failure["status"].replace("_", " ")
        elif store.finished(run.id):
            record = store.record(run.id)
            how = f"{record['status']} at step {record['steps']}"
        else:
            how = "interrupted"
        counts[how] = counts.get(how, 0) + 1
    return broken, ", ".join(f"{count} {how}" for how, count in counts.items())


@contextmanager
def advancing(total: int, console: Console) -> Iterator[Callable[[str], None]]:
    """A bar that vanishes at the end; call what it yields with what is done next, a step each."""
    progress = Progress(
        SpinnerColumn(),
        BarColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    bar = progress.add_task("", total=total)

    def advance(what: str) -> None:
        progress.update(bar, description=escape(what), advance=1)

    with progress:
        yield advance


def print_summary(results: Results, report: Path, shown: Console) -> dict[str, Any]:
    """Prints the summary and returns it as plain data."""
    table = summary(results)
    _print_table(shown, table)
    shown.print(f"report: {report}", highlight=False, soft_wrap=True, markup=False)
    rows = json.loads(str(table.to_json(orient="records")))
    # That a run diverged is a result; that it broke, or is not there, is a failure.
    ended = results.runs["status"].isin(["finished", "solved", "diverged"])
    failed = not bool(ended.all())
    return {"suite": results.name, "report": str(report), "failed": failed, "summary": rows}


def _print_table(shown: Console, frame: Any) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    frame = frame.drop(columns="per seed")  # it would not fit; the report has it
    for name, column in frame.items():
        justify = "right" if column.dtype.kind in "if" else "left"
        whole = name in ("task", "architecture", "effective", "runs")
        table.add_column(str(name), justify=justify, no_wrap=whole, min_width=7)
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(_cell(each)) for each in row))
    shown.print(table)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return "–" if value != value else f"{value:.3g}"  # NaN alone differs from itself
