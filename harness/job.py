"""One population from its runs to its stored scores: the work of one process."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lengthwise import kernels
from lengthwise.harness.evaluate import Score, evaluate
from lengthwise.harness.group import Group, resumable
from lengthwise.harness.plan import Run
from lengthwise.harness.population import Population
from lengthwise.harness.store import Store
from lengthwise.harness.train import Interrupted, train

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
    device: str = "cpu"
    threads: int = 1
    checkpoint_seconds: float = 30.0

    @property
    def label(self) -> str:
        run = self.runs[0]
        return " · ".join(part for part in (run.task_label, run.architecture, run.variant) if part)

    def untrained(self, store: Store) -> list[Run]:
        return [run for run in self.runs if not store.finished(run.id)]

    def untested(self, store: Store, length: int) -> list[Run]:
        """Trained runs without scores at a length; a diverged run has nothing to test."""
        key = evaluation_key(length, self.examples)
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
        for runs in resumable(self.untrained(store), store):
            self._train(runs, store, tell, stopped)
        for length in self.lengths:
            if runs := self.untested(store, length):
                tell({"testing": length})
                self._test(runs, length, store)
            if stopped():
                raise Interrupted

    def _train(self, runs: list[Run], store: Store, tell: Tell, stopped: Stopped) -> None:
        try:
            group = Group(runs, store, self.device)
            with kernels.session() as session:
                while group.population.runs:
                    train(
                        group.population,
                        group.memories,
                        save=group.save,
                        tell=tell,
                        stopped=stopped,
                        checkpoint_seconds=self.checkpoint_seconds,
                    )
                    group.release(session.chosen)
        except Interrupted:
            raise
        except Exception as error:
            left = [run for run in runs if not store.finished(run.id)]
            if out_of_memory(error) and len(left) > 1:
                half = len(left) // 2
                self._train(left[:half], store, tell, stopped)
                self._train(left[half:], store, tell, stopped)
            else:
                record_failures(store, left, error, "training")

    def _test(self, runs: list[Run], length: int, store: Store) -> None:
        try:
            population = Population(runs, self.device)
            population.load_weights([store.weights(run.id) for run in runs])
            scores = evaluate(population, "test", length, self.examples)
        except Exception as error:
            record_failures(store, runs, error, f"testing at length {length}")
            return
        for run, score in zip(runs, scores, strict=True):
            table = score_table(run, score, population.model.state_bytes(length))
            store.save_evaluation(run.id, evaluation_key(length, self.examples), table)


def evaluation_key(length: int, examples: int) -> str:
    return f"length={length},examples={examples}"


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


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on whatever device."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def record_failures(store: Store, runs: Sequence[Run], error: Exception, stage: str) -> None:
    """Remembers how runs broke, until they succeed; the next call tries them again."""
    text = "".join(traceback.format_exception(error))
    status = "out_of_memory" if out_of_memory(error) else "failed"
    for run in runs:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        failure = {"status": status, "stage": stage, "error": text, "at": at}
        store.save_failure(run.id, failure)
