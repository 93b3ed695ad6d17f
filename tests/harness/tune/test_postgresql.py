"""Many workers on one study in PostgreSQL."""

import os
import signal
from pathlib import Path

from lengthwise.harness.tune.storage import opened
from lengthwise.harness.tune.worker import books_of

from tests.harness.tune.postgresql import server
from tests.harness.tune.tiny_study import STUDY, assert_planned, start, study, wait_until

TEXT = STUDY.replace("epochs: 2", "epochs: 20").replace(
    "trials: 6, batch: 3", "trials: 12, batch: 2"
)


def test_of_four_workers_one_is_killed_and_every_planned_trial_ends_once(tmp_path: Path) -> None:
    made = study(tmp_path, text=TEXT)
    with server() as url:
        folders = [tmp_path / f"machine-{n}" for n in range(4)]
        arguments = ["--storage", url, "--workers", "1"]
        # Each with a folder of its own, as on machines that share nothing but the database.
        workers = [start(made.file, folder, *arguments) for folder in folders]

        def has_trials(folder: Path) -> bool:
            return bool(list(folder.glob("checkpoints/*")) or list(folder.glob("runs/*")))

        wait_until(lambda: has_trials(folders[2]))
        os.killpg(workers[2].pid, signal.SIGKILL)
        workers[2].communicate(timeout=10)
        for worker in (each for each in workers if each is not workers[2]):
            _, errors = worker.communicate(timeout=200)
            assert worker.returncode == 0, errors.decode()
        assert_planned(made, folders[0], url)
        with opened(url) as storage:
            for book in books_of(made, storage, folders[0]).values():
                interrupted = [
                    each
                    for each in book.study.get_trials()
                    if each.user_attrs["ended"] == "interrupted"
                ]
                again = [each.user_attrs.get("again") for each in book.counted()]
                assert {each.number for each in interrupted} <= set(again)
