"""A study whose trials train in a tenth of a second, and its command in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from lengthwise.harness.tune.bookkeeping import Book
from lengthwise.harness.tune.storage import opened, sqlite
from lengthwise.harness.tune.study import Study, load_study
from lengthwise.harness.tune.worker import books_of

from tests.harness.tiny import TINY, write

STUDY = (
    TINY.replace("name: tiny", "name: tiny-study").replace("seed: [0, 1, 2]", "seed: [0, 1]")
    + """\
space:
  train.optimizer.lr: {log: [1e-4, 1e-1]}
  train.optimizer.weight_decay: {uniform: [0, 0.3]}
  architecture.heads: {choice: [1, 2], when: {architecture: gated_delta_net}}
objective: area
budget: {trials: 6, batch: 3, seeds: [100]}
"""
)


def study(folder: Path, *overrides: str, text: str = STUDY) -> Study:
    return load_study(write(folder, text, "study.yaml"), overrides)


def start(
    file: Path, out: Path, *arguments: str, core: int | None = None, reports: bool = True
) -> subprocess.Popen[bytes]:
    """The command in a session of its own, so that a test can kill all that it started.

    Args:
        core: the only one it may use; several commands that each take all cores stand in each
            other's way.
        reports: whether it ends with a report.
    """
    code = (
        "from lengthwise.harness import cli; from lengthwise.harness.tune import heartbeat; "
        "from lengthwise.harness.report import drawing; drawing.FORMATS = ('svg',); "
        "heartbeat.BEAT_SECONDS, heartbeat.GRACE_SECONDS = 0.5, 5.0; cli.main()"
    )
    if not reports:
        nothing = "run.write_report = lambda *given: given[1]"
        code = f"from lengthwise.harness import run; {nothing}; {code}"
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    command = [*pinned, sys.executable, "-c", code, "tune", str(file), "--out", str(out)]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def stop(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kills what is left of them, with all that they started."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 200) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def assert_planned(made: Study, out: Path, storage: str | None = None) -> list[Book]:
    """Every trial of the budget is over, once, and no other is running or waiting."""
    with opened(storage or sqlite(out)) as held:
        books = list(books_of(made, held, out).values())
        for book in books:
            counted = book.counted()
            assert len(counted) == made.settings.budget.trials
            assert {each.user_attrs["ended"] for each in counted} <= {"finished", "pruned"}
            every = book.study.get_trials()
            for each in every:
                assert each.state.is_finished()
            settings = [tuple(sorted(each.params.items())) for each in counted]
            assert len(set(settings)) == len(settings)
    return books
