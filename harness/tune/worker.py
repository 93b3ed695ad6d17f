"""What one process does: takes batches of trials, of one architecture after the other, until all
trials of all of them are over."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from lengthwise.harness.job import Job, Stopped, Tell
from lengthwise.harness.plan import Run
from lengthwise.harness.store import Store
from lengthwise.harness.train import Interrupted
from lengthwise.harness.tune.batch import Batch, suggested
from lengthwise.harness.tune.bookkeeping import Book
from lengthwise.harness.tune.heartbeat import Watcher, beating
from lengthwise.harness.tune.storage import StorageErrors, load, opened, reason
from lengthwise.harness.tune.study import Contender, Study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import Trial

IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Worker:
    """One process that works on a study."""

    study: Study
    root: Path
    """The results folder."""
    storage: str
    name: str
    """Its own, in the trials that it has."""
    turn: int
    """Which architecture it begins with."""
    beat_seconds: float
    grace_seconds: float
    checkpoint_seconds: float
    threads: int = 1
    device: str = "cpu"

    def on(self, device: str) -> "Worker":
        return replace(self, device=device)

    def execute(self, tell: Tell, stopped: Stopped) -> None:
        """Works until every trial is over, waiting for those of other workers.

        Raises:
            Interrupted: `stopped()` was true; its trials are given back, their runs saved.
        """
        torch.set_num_threads(self.threads)
        try:
            with opened(self.storage) as storage:
                self._execute(storage, tell, stopped)
        except StorageErrors as error:
            tell({"broken": f"the storage of the trials failed: {reason(error)}"})

    def note_death(self, how: str) -> None:  # noqa: ARG002
        """Gives back at once what a dead process had."""
        with opened(self.storage) as storage:
            for book in self._books(storage).values():
                book.give_back_all_of(self.name, died=True)

    def _execute(self, storage: BaseStorage, tell: Tell, stopped: Stopped) -> None:
        store = Store.open(self.root)
        watcher = Watcher(self.grace_seconds)
        books = self._books(storage)
        labels = [*books][self.turn :] + [*books][: self.turn]
        contenders = {each.label: each for each in self.study.contenders}
        while any(book.finished() < book.trials for book in books.values()):
            for label in labels:
                batch = self._batch(contenders[label], books[label], store)
                if batch.trials:
                    self._work(batch, tell, stopped)
                    break
            else:
                for book in books.values():
                    for trial in watcher.lost(book.study.study_name, book.running()):
                        book.give_back(trial, died=True)
                if stopped():
                    raise Interrupted
                time.sleep(IDLE_SECONDS)

    def _work(self, batch: Batch, tell: Tell, stopped: Stopped) -> None:
        tell({"architecture": batch.contender.label})
        try:
            with beating(batch.trials, self.beat_seconds):
                batch.work(tell, stopped)
        except Interrupted:
            batch.book.give_back_all_of(self.name, died=False)
            raise

    def _batch(self, contender: Contender, book: Book, store: Store) -> Batch:
        trials: list[Trial] = []
        with book.lock:
            for _ in range(self.study.settings.budget.batch):
                trial = book.ask(self.name)
                if trial is None:
                    break
                # Chosen now, so that whoever asks next knows of it; unless on a busy machine that
                # takes so long that another one has taken the trial for lost.
                with suppress(UpdateFinishedTrialError):
                    suggested(trial, contender.parameters)
                    trials.append(trial)
        return Batch(self.study, contender, book, store, self._job, trials)

    def _job(self, runs: Sequence[Run]) -> Job:
        return Job(
            runs=tuple(runs),
            root=self.root,
            lengths=self.study.lengths,
            examples=self.study.settings.evaluate.examples,
            split="validation",
            device=self.device,
            threads=self.threads,
            checkpoint_seconds=self.checkpoint_seconds,
        )

    def _books(self, storage: BaseStorage) -> dict[str, Book]:
        return books_of(self.study, storage, self.root)


def books_of(study: Study, storage: BaseStorage, root: Path) -> dict[str, Book]:
    """The trials of each architecture by its label."""
    lock = Store.open(root).claim("trials")
    return {
        each.label: Book(load(study, each, storage), storage, lock, study.settings.budget.trials)
        for each in study.contenders
    }
