"""A batch of trials: trained together, pruned on the way, measured on validation examples, told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from lengthwise.harness.collect import tables
from lengthwise.harness.job import Job, Stopped, Tell
from lengthwise.harness.plan import Run, populations
from lengthwise.harness.population import Population
from lengthwise.harness.store import Store
from lengthwise.harness.train import Memory
from lengthwise.harness.tune.bookkeeping import Book, Ended
from lengthwise.harness.tune.objective import scores_of
from lengthwise.harness.tune.space import Parameter
from lengthwise.harness.tune.study import Contender, Study
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import BaseTrial, Trial


def suggested(trial: BaseTrial, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The setting of a trial, by path: of every parameter that plays a part in it."""
    chosen: dict[str, Any] = {}
    for each in parameters:
        if each.active(chosen):
            chosen[each.path] = _suggested(trial, each)
    return chosen


def _suggested(trial: BaseTrial, parameter: Parameter) -> Any:
    path, log = parameter.path, parameter.scale.startswith("log")
    if parameter.scale == "choice":
        return trial.suggest_categorical(path, parameter.values)
    low, high = parameter.values
    if "integer" in parameter.scale:
        return trial.suggest_int(path, low, high, log=log)
    return trial.suggest_float(path, low, high, log=log)


@dataclass
class Batch:
    """Trials of one architecture that one worker has."""

    study: Study
    contender: Contender
    book: Book
    store: Store
    job: Callable[[Sequence[Run]], Job]
    """How a population is trained and measured on this worker."""
    trials: Sequence[Trial]
    runs: dict[int, list[Run]] = field(default_factory=dict)
    """Of each trial by its number, once it is known that they can be made."""
    pruned: set[int] = field(default_factory=set)
    """Numbers of trials."""

    def work(self, tell: Tell, stopped: Stopped) -> None:
        """Trains every trial, one task after the other, and tells how it ended.

        Raises:
            Interrupted: `stopped()` was true; what was trained is saved.
        """
        for trial in self.trials:
            self._make(trial)
        for task in range(len(self.study.tasks)):
            for runs in populations(self._of_task(task)):
                prune = Pruning(self, task)
                self.job(runs).work(self.store, tell, stopped, prune)
        for trial in self.trials:
            if trial.number in self.runs:
                self._tell(trial)

    def _make(self, trial: Trial) -> None:
        values = suggested(trial, self.contender.parameters)
        try:
            self.runs[trial.number] = self.study.runs(
                self.contender, values, self.study.settings.budget.seeds
            )
        except ValueError as error:
            self.book.end(trial.number, "failed", error=str(error))

    def of_task(self, number: int, task: int) -> list[Run]:
        """A trial's runs of a task."""
        label = self.study.tasks[task].label
        return [run for run in self.runs.get(number, []) if run.task_label == label]

    def _of_task(self, task: int) -> list[Run]:
        return [
            run
            for trial in self.trials
            if trial.number not in self.pruned
            for run in self.of_task(trial.number, task)
        ]

    def _tell(self, trial: Trial) -> None:
        runs = self.runs[trial.number]
        how, error = self._ended(trial.number)
        if how != "finished":
            self.book.end(trial.number, how, error=error)
            return
        measured = {"evaluations": self.job(runs).evaluations}
        scores = scores_of(*tables(self.store, [run.to_json() | measured for run in runs])[:2])
        by_seed = [
            [each.value(of_seed) for each in self.study.objectives]
            for _, of_seed in scores.groupby("seed")
        ]
        try:
            trial.set_user_attr("by_seed", by_seed)
            trial.set_user_attr("steps", sum(self.store.record(run.id)["steps"] for run in runs))
        except UpdateFinishedTrialError:  # taken for lost
            return
        values = [each.value(scores) for each in self.study.objectives]
        self.book.end(trial.number, how, values)

    def _ended(self, number: int) -> tuple[Ended, str]:
        """How a trial ended, by the worst of its runs, with the error of one that broke."""
        if number in self.pruned:
            return "pruned", ""
        keys = self.job(self.runs[number]).evaluations
        for run in self.runs[number]:
            if failure := self.store.failure(run.id, keys):
                return failure["status"], failure["error"]
        for run in self.runs[number]:
            if self.store.record(run.id)["status"] == "diverged":
                return "diverged", ""
        return "finished", ""


class Pruning:
    """Reports the trials of a population after each validation, and prunes whom Optuna says.

    The value reported is the mean validation accuracy over seeds. Tasks are trained one after the
    other, so a trial's steps go on from task to task, and a trial is compared with others at the
    same step of the same task.
    """

    def __init__(self, batch: Batch, task: int) -> None:
        self.batch, self.task = batch, task
        self.latest: dict[str, float] = {}
        """Validation accuracy of each run."""
        self.reported: set[tuple[int, int]] = set()

    def __call__(self, population: Population, memories: list[Memory]) -> None:
        if len(self.batch.study.objectives) > 1 or self.batch.study.pruner == "none":
            return
        going = {
            run.id: memory
            for run, memory in zip(population.runs, memories, strict=True)
            if memory.status is None
        }
        for run, memory in zip(population.runs, memories, strict=True):
            self.latest[run.id] = memory.history[-1][2]
        step = self.task * population.runs[0].train.steps + population.step
        for trial in self.batch.trials:
            runs = self.batch.of_task(trial.number, self.task)
            if any(run.id in going for run in runs) and self._is_hopeless(trial, runs, step):
                self.batch.pruned.add(trial.number)
        self._mark(going)

    def _is_hopeless(self, trial: Trial, runs: Sequence[Run], step: int) -> bool:
        known = [self.latest[run.id] for run in runs if run.id in self.latest]
        try:
            if (trial.number, step) not in self.reported:
                self.reported.add((trial.number, step))
                trial.report(float(np.mean(known)), step)
            return trial.should_prune()
        except UpdateFinishedTrialError:  # taken for lost: another worker trains it again
            return True

    def _mark(self, going: Mapping[str, Memory]) -> None:
        """Two trials of one setting share their runs: those go on while one of the trials does."""
        wanted = {
            run.id
            for trial in self.batch.trials
            if trial.number not in self.batch.pruned
            for run in self.batch.of_task(trial.number, self.task)
        }
        for run, memory in going.items():
            if run not in wanted:
                memory.status = "pruned"
