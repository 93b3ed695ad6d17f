"""The command `lengthwise tune`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
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
from rich.console import Console


def tune(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study file.")],
    set_: SetOption = [],  # noqa: B006
    out: OutOption = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Where trials are kept: a database (postgresql://…) or the path of a journal "
            "file, for many machines; an SQLite file in the results folder unless given.",
        ),
    ] = None,
    devices: DevicesOption = "",
    workers: WorkersOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Tune every architecture of a study with the same budget, and test what was chosen.

    Settings are chosen on validation examples; the chosen ones and the default ones are then
    trained again with fresh seeds and tested. best.yaml in the results folder is the suite of the
    chosen settings. The same command goes on where an earlier one stopped.
    """
    from lengthwise.harness.display import print_summary, watching
    from lengthwise.harness.run import Options
    from lengthwise.harness.tune.display import watching_trials
    from lengthwise.harness.tune.run import tune_study
    from lengthwise.harness.tune.study import load_study

    shown = Console(quiet=quiet or as_json)
    options = Options(out, chosen_devices(devices), workers)
    loaded = load_study(study, set_)
    with stoppable():
        tuned = tune_study(
            loaded,
            options,
            storage,
            ["lengthwise", *sys.argv[1:]],
            lambda books: watching_trials(books, shown),
            lambda jobs: watching(jobs, shown),
        )
    summary = print_summary(tuned.results, tuned.report, shown)
    shown.print(f"best settings: {tuned.best}", highlight=False, soft_wrap=True, markup=False)
    if as_json:
        print(json.dumps(summary | {"best": str(tuned.best)}, indent=1))
    raise typer.Exit(1 if summary["failed"] else 0)
