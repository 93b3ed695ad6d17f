"""One population from its runs to its stored scores: the work of one process."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import Timeout
from lengthwise import kernels
from lengthwise.harness.capacity import fitting
from lengthwise.harness.evaluate import Score, evaluate
from lengthwise.harness.group import Group, resumable
from lengthwise.harness.plan import Run
from lengthwise.harness.population import Population
from lengthwise.harness.store import TRAINING, Store
from lengthwise.harness.train import Interrupted, Prune, keep_all, train
from lengthwise.tasks.task import Split

Tell = Callable[[dict[str, Any]], None]
Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """Runs of one shape, and what they are tested on."""

    runs: tuple[Run, ...]
    root: Path
    """The results folder."""
    lengths: tuple[int, ...]
    examples: int
    split: Split = "test"
    """Whose examples they are tested on."""
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 30.0

    @property
    def label(self) -> str:
        """What its runs have in common."""
        run = self.runs[0]
        variant = run.variant if len({each.variant for each in self.runs}) == 1 else ""
        return " · ".join(part for part in (run.task_label, run.architecture, variant) if part)

    @property
    def evaluations(self) -> list[str]:
        return [evaluation_key(length, self.examples, self.split) for length in self.lengths]

    def on(self, device: str) -> "Job":
        return replace(self, device=device)

    def untrained(self, store: Store) -> list[Run]:
        return [run for run in self.runs if not store.finished(run.id)]

    def untested(self, store: Store, length: int) -> list[Run]:
        """Trained runs without scores at a length; a diverged run has nothing to test."""
        key = evaluation_key(length, self.examples, self.split)
        trained = [run for run in self.runs if store.finished(run.id)]
        lacking = [run for run in trained if not store.evaluated(run.id, key)]
        return [run for run in lacking if store.record(run.id)["status"] != "diverged"]

    def complete(self, store: Store) -> bool:
        """Whether every run is trained and tested."""
        return not self.untrained(store) and not any(self.untested(store, n) for n in self.lengths)

    def execute(self, tell: Tell, stopped: Stopped) -> None:
        """Trains and tests what is missing; what breaks is recorded and does not stop the rest.

        Raises:
            Interrupted: `stopped()` was true; everything is saved.
        """
        store = Store.open(self.root)
        torch.set_num_threads(self.threads)
        with _claimed(store, self.runs[0].shape, tell, stopped):
            self.work(store, tell, stopped, keep_all)

    def work(self, store: Store, tell: Tell, stopped: Stopped, prune: Prune) -> None:
        """As `execute`, for a caller that has seen to it that nobody else works on these runs."""
        untrained = self.untrained(store)
        groups: list[tuple[int, list[Run]]] = []

        def group() -> None:
            for step, runs in resumable(untrained, store):
                groups.extend((step, part) for part in fitting(runs, self.device))

        failure = _failure_of(group)
        if failure:
            record_failures(store, untrained, TRAINING, failure)
        for step, runs in groups:
            self._train(runs, step, store, tell, stopped, prune)
        for length in self.lengths:
            if runs := self.untested(store, length):
                tell({"testing": length})
                self._test(runs, length, store, stopped)

    def note_death(self, how: str) -> None:
        """Records that the process which executed this ended by itself."""
        text = f"the worker process ended {how}; its runs go on from their checkpoints"
        failure = {"status": "failed", "error": text}
        store = Store.open(self.root)
        record_failures(store, self.untrained(store), TRAINING, failure)
        if not self.untrained(store):
            for length, key in zip(self.lengths, self.evaluations, strict=True):
                record_failures(store, self.untested(store, length), key, failure)

    def _train(
        self,
        runs: Sequence[Run],
        step: int,
        store: Store,
        tell: Tell,
        stopped: Stopped,
        prune: Prune,
    ) -> None:
        pruned: set[str] = set()

        def attempt() -> None:
            for run in runs:
                _check_unchanged(run)
            group = Group(runs, step, store, self.device)
            with kernels.session() as session:
                while group.population.runs:
                    train(
                        group.population,
                        group.memories,
                        save=group.save,
                        tell=tell,
                        stopped=stopped,
                        checkpoint_seconds=self.checkpoint_seconds,
                        prune=prune,
                    )
                    pruned.update(
                        run.id
                        for run, memory in zip(group.population.runs, group.memories, strict=True)
                        if memory.status == "pruned"
                    )
                    group.release(session.chosen)

        failure = _failure_of(attempt)
        left = [run for run in runs if not store.finished(run.id) and run.id not in pruned]
        if failure and failure["status"] == "out_of_memory" and len(left) > 1:
            for half in (left[: len(left) // 2], left[len(left) // 2 :]):
                for newest, again in resumable(half, store):
                    self._train(again, newest, store, tell, stopped, prune)
        elif failure:
            record_failures(store, left, TRAINING, failure)

    def _test(self, runs: Sequence[Run], length: int, store: Store, stopped: Stopped) -> None:
        key = evaluation_key(length, self.examples, self.split)

        def between() -> None:
            if stopped():
                raise Interrupted

        def attempt() -> None:
            population = Population(runs, self.device)
            population.load_weights([store.weights(run.id) for run in runs])
            scores = evaluate(population, self.split, length, self.examples, between)
            for run, score in zip(runs, scores, strict=True):
                table = score_table(run, score, population.model.state_bytes(length))
                store.save_evaluation(run.id, key, table)

        failure = _failure_of(attempt)
        if failure and failure["status"] == "out_of_memory" and len(runs) > 1:
            self._test(runs[: len(runs) // 2], length, store, stopped)
            self._test(runs[len(runs) // 2 :], length, store, stopped)
        elif failure:
            record_failures(store, runs, key, failure)


def evaluation_key(length: int, examples: int, split: Split = "test") -> str:
    """The name of a run's scores in the store; those on test examples name no split."""
    prefix = "" if split == "test" else f"split={split},"
    return f"{prefix}length={length},examples={examples}"


def score_table(run: Run, score: Score, state_bytes: int) -> pd.DataFrame:
    """One row a bin of distances; what holds for the whole length stands in every row."""
    bins = sorted(score.distances.items())
    return pd.DataFrame(
        {
            "length": score.length,
            "low": [2**each if each else 0 for each, _ in bins],
            "high": [2 ** (each + 1) for each, _ in bins],
            "answers": [answers for _, (answers, _) in bins],
            "correct": [correct for _, (_, correct) in bins],
            "examples": score.examples,
            "exact": score.exact,
            "chance": run.make_task().chance(score.length),
            "seconds": score.seconds,
            "state_bytes": state_bytes,
        }
    )


def record_failures(store: Store, runs: Sequence[Run], stage: str, failure: dict[str, Any]) -> None:
    """Remembers how runs broke; the next call tries them again."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for run in runs:
        store.save_failure(run.id, stage, failure | {"stage": stage, "at": at})


def _failure_of(attempt: Callable[[], None]) -> dict[str, Any] | None:
    """How an attempt broke, as plain data: the exception's frames would keep its tensors alive."""
    try:
        attempt()
    except Interrupted:
        raise
    except Exception as error:
        status = "out_of_memory" if _out_of_memory(error) else "failed"
        return {"status": status, "error": "".join(traceback.format_exception(error))}
    return None


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _check_unchanged(run: Run) -> None:
    """Raises when a plug-in's source is no longer that which the run's id was made from."""
    if replace(run).id != run.id:
        raise RuntimeError(
            f"the source of {run.task.name} or {run.architecture} has changed since this was "
            "planned; start again"
        )


@contextmanager
def _claimed(store: Store, shape: str, tell: Tell, stopped: Stopped) -> Iterator[None]:
    """Waits while another process works on runs of this shape in this folder."""
    lock = store.claim(shape)
    while True:
        try:
            lock.acquire(timeout=0.5)
            break
        except Timeout:
            tell({"waiting": True})
            if stopped():
                raise Interrupted from None
    try:
        yield
    finally:
        lock.release()
