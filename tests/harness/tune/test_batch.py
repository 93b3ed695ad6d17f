"""A batch of trials: one population, from which pruned trials leave."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from lengthwise.harness.job import Job
from lengthwise.harness.plan import Run, populations
from lengthwise.harness.store import Store
from lengthwise.harness.tune.batch import Batch, suggested
from lengthwise.harness.tune.bookkeeping import Book
from lengthwise.harness.tune.space import Parameter
from lengthwise.harness.tune.worker import Worker
from optuna.pruners import BasePruner
from optuna.trial import FrozenTrial, Trial, TrialState

from tests.harness.tune.tiny_study import study


class PrunesOdd(BasePruner):
    """Prunes every second trial at its first validation."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:  # noqa: ARG002
        return trial.number % 2 == 1


class GivesBack(BasePruner):
    """Takes trial 1 for lost when a trial is at a step, as another machine may."""

    book: Book

    def __init__(self, number: int, step: int) -> None:
        self.moment = number, step

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        if (trial.number, trial.last_step) == self.moment:
            self.book.give_back(study.get_trials()[1], died=True)
        return False


def batch(folder: Path, pruner: BasePruner) -> Batch:
    made = study(folder)
    store = Store.create(folder / "results")
    storage = optuna.storages.InMemoryStorage()
    asked = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=pruner,
        direction="maximize",
    )
    book = Book(asked, storage, FileLock(folder / "lock"), trials=4)
    contender = made.contenders[0]
    trials = [trial for trial in (book.ask("w") for _ in range(4)) if trial]
    for trial in trials:
        suggested(trial, contender.parameters)

    def job(runs: Sequence[Run]) -> Job:
        return Job(tuple(runs), store.root, (16, 32), 20, split="validation", threads=2)

    return Batch(made, contender, book, store, job, trials)


def work(made: Batch) -> list[FrozenTrial]:
    made.work(lambda _: None, lambda: False)
    return made.book.counted()


def test_trials_that_differ_in_learning_rate_and_weight_decay_are_one_population(
    tmp_path: Path,
) -> None:
    made = study(tmp_path)
    delta = made.contenders[1]
    settings = [
        {"train.optimizer.lr": lr, "train.optimizer.weight_decay": lr, "architecture.heads": heads}
        for lr, heads in ((1e-3, 1), (1e-2, 1), (1e-2, 2))
    ]
    runs = [run for values in settings for run in made.runs(delta, values, [100, 101])]
    assert [len(group) for group in populations(runs)] == [4, 2]


def test_pruned_trials_leave_the_population_and_the_others_end_the_same(tmp_path: Path) -> None:
    (tmp_path / "pruned").mkdir()
    (tmp_path / "whole").mkdir()
    pruned = batch(tmp_path / "pruned", PrunesOdd())
    whole = batch(tmp_path / "whole", optuna.pruners.NopPruner())
    ended, expected = work(pruned), work(whole)
    for trial, other in zip(ended, expected, strict=True):
        assert trial.params == other.params
        (run,) = pruned.runs[trial.number]
        if trial.number % 2:
            assert trial.state == TrialState.PRUNED
            assert [*trial.intermediate_values] == [8]
            assert not pruned.store.finished(run.id)
            assert not pruned.store.checkpoint_steps(run.id)
        else:
            assert trial.state == TrialState.COMPLETE
            assert trial.values == pytest.approx(other.values)
            assert [*trial.intermediate_values] == [8, 16]
            assert pruned.store.record(run.id)["steps"] == 24


@pytest.mark.parametrize(
    "moment", [(0, 8), (3, 16)], ids=["before it reports", "before it is told"]
)
def test_a_trial_taken_for_lost_spoils_no_other_of_its_batch(
    tmp_path: Path, moment: tuple[int, int]
) -> None:
    pruner = GivesBack(*moment)
    made = batch(tmp_path, pruner)
    pruner.book = made.book
    *others, successor = work(made)
    assert [trial.number for trial in others] == [0, 2, 3]
    assert {trial.state for trial in others} == {TrialState.COMPLETE}
    lost = made.book.study.trials[1]
    assert (lost.state, lost.user_attrs["ended"]) == (TrialState.FAIL, "interrupted")
    assert (successor.state, successor.params) == (TrialState.WAITING, lost.params)


def test_a_trial_taken_for_lost_while_it_is_asked_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = batch(tmp_path, optuna.pruners.NopPruner())
    book = replace(made.book, trials=7)

    def slowly(trial: Trial, parameters: Sequence[Parameter]) -> None:
        if trial.number == 4:
            book.give_back(book.study.get_trials()[4], died=True)
        suggested(trial, parameters)

    monkeypatch.setattr("lengthwise.harness.tune.worker.suggested", slowly)
    worker = Worker(made.study, made.store.root, "", "w", 0, 1.0, 1.0, 1.0)
    asked = worker._batch(made.contender, book, made.store)
    assert [trial.number for trial in asked.trials] == [5, 6]


def test_a_setting_that_cannot_be_made_is_a_failed_trial_that_says_why(tmp_path: Path) -> None:
    made = batch(tmp_path, optuna.pruners.NopPruner())
    trial = made.trials[0]
    wrong = made.book.study.trials[trial.number].params | {"train.warmup_steps": 999}
    with pytest.raises(ValueError, match="999 is not less than the 24 steps"):
        made.study.runs(made.contender, wrong, [100])
