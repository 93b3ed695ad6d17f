"""Many workers on one study in PostgreSQL."""

import os
import signal
from pathlib import Path

from lengthwise.harness.tune.storage import opened
from lengthwise.harness.tune.worker import books_of

from tests.harness.tune.postgresql import server
from tests.harness.tune.tiny_study import STUDY, assert_planned, start, stop, study, wait_until

TEXT = (
    STUDY.replace("  - gated_delta_net: {heads: 1}\n", "")
    .replace("  architecture.heads: {choice: [1, 2], when: {architecture: gated_delta_net}}\n", "")
    .replace("epochs: 2", "epochs: 12")
    .replace("seed: [0, 1]", "seed: [0]")
    .replace("trials: 6, batch: 3", "trials: 12, batch: 2")
)


def test_of_four_workers_one_is_killed_and_every_planned_trial_ends_once(tmp_path: Path) -> None:
    made = study(tmp_path, text=TEXT)
    # Each with a folder of its own, as on machines that share nothing but the database.
    folders = [tmp_path / f"machine-{n}" for n in range(4)]
    with server() as url:
        workers = [
            start(made.file, folder, "--storage", url, "--workers", "1", core=n % 2, reports=False)
            for n, folder in enumerate(folders)
        ]
        try:
            # The first that has stored something of a trial dies in the middle of its batch.
            wait_until(lambda: any(list(folder.glob("runs/*")) for folder in folders))
            victim = next(n for n, folder in enumerate(folders) if list(folder.glob("runs/*")))
            os.killpg(workers[victim].pid, signal.SIGKILL)
            for n, worker in enumerate(workers):
                _, errors = worker.communicate(timeout=200)
                assert worker.returncode == (-signal.SIGKILL if n == victim else 0), errors.decode()
        finally:
            stop(workers)
        assert_planned(made, folders[0], url)
        with opened(url) as storage:
            (book,) = books_of(made, storage, folders[(victim + 1) % 4]).values()
            owners = {each.user_attrs["worker"] for each in book.counted()}
            assert len(owners) > 1
            again = {each.user_attrs.get("again") for each in book.study.get_trials()}
            for each in book.study.get_trials():
                assert each.user_attrs["ended"] != "interrupted" or each.number in again
