"""The command line. Exit status: 0 done, 1 some run failed, 2 the input is wrong, 130 Ctrl-C."""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from lengthwise.harness.bench.cli import bench
from lengthwise.harness.options import (
    DevicesOption,
    JsonOption,
    OutOption,
    QuietOption,
    SetOption,
    WorkersOption,
    chosen_devices,
    stoppable,
)
from lengthwise.harness.tune.cli import tune
from rich.console import Console
from rich.markup import escape
from rich.table import Table

app = typer.Typer(
    help="What can this sequence architecture still do as the context grows?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(bench, name="bench")
app.command()(tune)
console = Console()


def main() -> None:
    """The console script."""
    from lengthwise.harness.source import InputError

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except InputError as error:
        shown = Console(stderr=True)
        shown.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)


def _interrupt(*_args: object) -> NoReturn:
    raise KeyboardInterrupt


@app.command()
def run(
    suites: Annotated[list[Path], typer.Argument(metavar="SUITE...", help="Suite files.")],
    set_: SetOption = [],  # noqa: B006
    out: OutOption = None,
    devices: DevicesOption = "",
    workers: WorkersOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show what would run, and how long it would take."),
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train and test everything a suite asks for, and write its report.

    What is already in the results folder is not computed again; an interrupted run goes on from
    its last checkpoint.
    """
    from lengthwise.harness.display import print_summary, watching
    from lengthwise.harness.dry_run import dry_run_table
    from lengthwise.harness.run import Options, run_suite
    from lengthwise.harness.suite import load_suite

    shown = Console(quiet=quiet or as_json)
    loaded = [load_suite(file, set_) for file in suites]
    command = ["lengthwise", *sys.argv[1:]]
    summaries: list[dict[str, Any]] = []
    failed = False
    for suite in loaded:
        folder = out / suite.name if out and len(loaded) > 1 else out
        options = Options(folder, chosen_devices(devices), workers)
        if dry_run:
            dry_run_table(suite, options, shown)
            continue
        with stoppable():
            results, report = run_suite(suite, options, command, lambda jobs: watching(jobs, shown))
        summaries.append(print_summary(results, report, shown))
        failed |= summaries[-1]["failed"]
    if as_json and not dry_run:
        print(json.dumps(summaries, indent=1))
    raise typer.Exit(1 if failed else 0)


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="A results folder.")],
    as_json: JsonOption = False,
) -> None:
    """Write the report of a results folder again, as far as its runs are there."""
    from lengthwise.harness.collect import collect
    from lengthwise.harness.display import print_summary
    from lengthwise.harness.report import write_report
    from lengthwise.harness.store import Store

    store = Store.open(results)
    collected = collect(store, store.suite())
    shown = Console(quiet=as_json)
    summary = print_summary(collected, write_report(collected, results / "report"), shown)
    if as_json:
        print(json.dumps([summary], indent=1))
    raise typer.Exit(1 if summary["failed"] else 0)


@app.command("list")
def list_(
    what: Annotated[
        Literal["tasks", "architectures", "kernels", "suites"], typer.Argument(help="What to list.")
    ],
) -> None:
    """List the tasks, architectures, kernels or suites there are, with their options."""
    from lengthwise.harness.listing import listing

    console.print(listing(what))


@app.command()
def show(
    task: Annotated[str, typer.Argument(help="A task's name, or package.module:Class.")],
    length: Annotated[int, typer.Option(min=1, help="Tokens in the example.")] = 64,
    set_: SetOption = [],  # noqa: B006
    seed: Annotated[int, typer.Option(min=0, help="Seed of the data.")] = 0,
    index: Annotated[int, typer.Option(min=0, help="Which example.")] = 0,
    split: Annotated[Literal["train", "validation", "test"], typer.Option()] = "test",
) -> None:
    """Show one example of a task, coloured, with its answers.

    Options of the task by --set, e.g. lengthwise show mqar --set vocab_size=64 --set gap=far.
    """
    from lengthwise.harness.listing import make_task
    from lengthwise.harness.show import example
    from lengthwise.harness.source import InputError

    made = make_task(task, set_)
    try:
        batch = made.sample(seed=seed, split=split, start=index, count=1, length=length)
    except ValueError as error:
        raise InputError(f"{task}: {error}") from None
    console.print(example(made, batch, length))


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Suite or study files.")],
    set_: SetOption = [],  # noqa: B006
) -> None:
    """Check suite and study files without running anything: fields, options, lengths, models."""
    from lengthwise.harness.source import InputError
    from lengthwise.harness.tune.check import checked

    problems: list[str] = []
    for file in files:
        try:
            console.print(f"{file}: {checked(file, set_)}, nothing wrong", highlight=False)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))


@app.command("check-plugin")
def check_plugin(
    name: Annotated[
        str, typer.Argument(help="A task or a mixer by name, or package.module:Class.")
    ],
    set_: SetOption = [],  # noqa: B006
    length: Annotated[int, typer.Option(min=2, help="Tokens in a task's examples.")] = 64,
    width: Annotated[int, typer.Option(min=1, help="Width that a mixer is made for.")] = 16,
) -> None:
    """Hold a task or a mixer against the laws that every one must obey.

    Options of it by --set, e.g. lengthwise check-plugin attention --set positions=alibi.
    """
    from lengthwise.harness.check_plugin import check_plugin as held_against

    broken = 0
    for law, how in held_against(name, set_, length, width):
        broken += bool(how)
        console.print(f"[red]✗[/] {law}: {escape(how)}" if how else f"[green]✓[/] {law}")
    raise typer.Exit(1 if broken else 0)


@app.command()
def schema(
    what: Annotated[
        Literal["suite", "study"], typer.Argument(help="Suites, or studies for tuning.")
    ] = "suite",
) -> None:
    """Print the JSON Schema of suite files, for editors to complete and check them."""
    from lengthwise.harness.schema import study_schema, suite_schema

    print(json.dumps(suite_schema() if what == "suite" else study_schema(), indent=2))


@app.command()
def doctor() -> None:
    """Say what this machine can use, and why not the rest."""
    from lengthwise.harness.doctor import examine

    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in examine():
        mark = "[green]✓[/]" if finding.usable else "[yellow]–[/]"
        table.add_row(mark, finding.what, escape(finding.detail))
    console.print(table)
