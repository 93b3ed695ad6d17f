"""Killing a study: no trial is lost, and none counts twice."""

import os
import random
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from lengthwise.harness.tune.storage import sqlite

from tests.harness.tiny import write
from tests.harness.tune.tiny_study import STUDY, assert_planned, start, study, wait_until

LONGER = (
    STUDY.replace("epochs: 2", "epochs: 8")
    .replace("trials: 6", "trials: 4")
    .replace("seed: [0, 1]", "seed: [0]")
)


def ended(out: Path) -> int:
    """How many trials are over, by a look at the file that makes nothing in it."""
    try:
        with closing(sqlite3.connect(f"file:{out / 'study.db'}?mode=ro", uri=True)) as file:
            (count,) = file.execute(
                "SELECT count(*) FROM trials WHERE state = 'COMPLETE'"
            ).fetchone()
    except sqlite3.OperationalError:  # the file, or its tables, are still to come
        return 0
    return count


@pytest.mark.parametrize(("storage", "kills"), [("sqlite", 2), ("journal", 1)])
def test_killed_at_random_moments_every_planned_trial_ends_once(
    tmp_path: Path, storage: str, kills: int
) -> None:
    made = study(tmp_path, text=LONGER)
    out = tmp_path / "results"
    held = str(tmp_path / "trials.journal") if storage == "journal" else None
    arguments = ["--workers", "2", *(["--storage", held] if held else [])]
    moments = random.Random(storage)
    lock = out / "locks" / "trials"
    for _ in range(kills):
        lock.unlink(missing_ok=True)
        with start(made.file, out, *arguments) as process:
            wait_until(lock.exists)
            # From the first moments of a batch to after its first runs have ended.
            time.sleep(moments.uniform(0.0, 4.0))
            assert process.poll() is None, "too fast to be killed"
            os.killpg(process.pid, signal.SIGKILL)
    with start(made.file, out, *arguments) as process:
        _, errors = process.communicate(timeout=250)
        assert process.returncode == 0, errors.decode()
    assert_planned(made, out, held)
    assert (out / "best.yaml").exists()


def test_ctrl_c_gives_the_trials_back_and_the_same_command_goes_on(tmp_path: Path) -> None:
    file, out = write(tmp_path, LONGER, "study.yaml"), tmp_path / "results"
    with start(file, out, "--workers", "1") as process:
        wait_until(lambda: ended(out) > 0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors.decode()
    assert b"the same command goes on" in errors
    storage = optuna.storages.RDBStorage(sqlite(out))
    for name in optuna.get_all_study_names(storage):
        trials = optuna.load_study(study_name=name, storage=storage).get_trials()
        assert not [each for each in trials if each.state == optuna.trial.TrialState.RUNNING]
    storage.engine.dispose()
    with start(file, out, "--workers", "2") as process:
        assert process.wait(timeout=250) == 0
    assert_planned(study(tmp_path, text=LONGER), out)
