"""Which trials a study has, who works on them, and how they ended: Optuna's storage says it all.

A trial is in one of Optuna's states. How it ended stands in its attribute `ended`, written before
the state: a trial that diverged, ran out of memory or broke is FAIL and counts, being an outcome;
one whose worker was lost is FAIL, `interrupted`, does not count, and has a successor with the same
setting.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
from filelock import BaseFileLock
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

Ended = Literal[
    "finished", "pruned", "diverged", "out_of_memory", "failed", "interrupted", "surplus"
]
NOT_COUNTED = ("interrupted", "surplus")
ATTEMPTS = 3
"""A trial whose workers died this many times has failed: it may be what kills them."""


@dataclass(frozen=True)
class Book:
    """The trials of one architecture."""

    study: optuna.Study
    storage: BaseStorage
    lock: BaseFileLock
    """Held while trials change hands: an SQLite file alone would let two have the same."""
    trials: int
    """The budget."""

    def counted(self) -> list[FrozenTrial]:
        """The trials that make up the budget, as far as they are asked for, by number.

        Numbers are given by the storage, so that every worker on every machine counts the same.
        """
        kept = [
            each
            for each in self.study.get_trials(deepcopy=False)
            if not (each.state == TrialState.FAIL and each.user_attrs.get("ended") in NOT_COUNTED)
        ]
        return sorted(kept, key=lambda each: each.number)[: self.trials]

    def finished(self) -> int:
        """How many of them are over."""
        return sum(each.state.is_finished() for each in self.counted())

    def running(self) -> list[FrozenTrial]:
        return [each for each in self.counted() if each.state == TrialState.RUNNING]

    def ask(self, worker: str) -> Trial | None:
        """A trial that this worker now owns, or None where nothing is left to begin."""
        while True:
            held = self.counted()
            waiting = any(each.state == TrialState.WAITING for each in held)
            if len(held) == self.trials and not waiting:
                return None
            trial = self.study.ask()
            if self._is_wanted(trial.number):
                trial.set_user_attr("worker", worker)
                return trial
            self.end(trial.number, "surplus")

    def _is_wanted(self, number: int) -> bool:
        """Whether it belongs to the budget.

        Of machines that begin at once each may ask for the last trial, or put in the default
        setting: what comes later by number is withdrawn.
        """
        held = self.counted()
        default = [each.number for each in held if "fixed_params" in each.system_attrs]
        return number in [each.number for each in held] and number not in default[1:]

    def end(
        self, number: int, how: Ended, values: Sequence[float] | None = None, error: str = ""
    ) -> bool:
        """Ends a running trial; False where somebody else has ended it."""
        states = {"finished": TrialState.COMPLETE, "pruned": TrialState.PRUNED}
        with self.lock:
            try:
                self._note(number, "ended", how)
                if error:
                    self._note(number, "error", error)
                self.study.tell(number, values, states.get(how, TrialState.FAIL))
            except (UpdateFinishedTrialError, ValueError):
                # On another machine, which does not share the lock, somebody was faster.
                if number in [each.number for each in self.running()]:
                    raise
                return False
        return True

    def give_back(self, trial: FrozenTrial, *, died: bool) -> None:
        """Ends a trial that its worker will not finish, and puts another in its place.

        Args:
            trial: it is running.
            died: whether its worker was lost; one that was asked to stop does not count against it.
        """
        attempts = trial.user_attrs.get("attempts", 1)
        with self.lock:
            if died and attempts >= ATTEMPTS:
                self.end(trial.number, "failed", error=f"its worker died {attempts} times")
            elif self.end(trial.number, "interrupted"):
                self.study.add_trial(
                    optuna.create_trial(
                        state=TrialState.WAITING,
                        params=trial.params,
                        distributions=trial.distributions,
                        user_attrs={"attempts": attempts + died, "again": trial.number},
                        system_attrs=trial.system_attrs,
                    )
                )

    def give_back_all_of(self, worker: str, *, died: bool) -> None:
        """Gives back what a worker has."""
        with self.lock:
            for trial in self.running():
                if trial.user_attrs.get("worker") == worker:
                    self.give_back(trial, died=died)

    def withdraw_surplus(self) -> None:
        """Ends what is left beyond a budget whose trials are all over.

        A machine may have died while it held one too many. Machines do not share the lock, so
        another may also have asked for a new trial in place of a lost one, just before the
        successor of that one was put in: the successor then waits beyond the budget.
        """
        with self.lock:
            while any(each.state == TrialState.WAITING for each in self._beyond()):
                # Trials that wait are what is asked for first.
                self.end(self.study.ask().number, "surplus")
            for each in self._beyond():
                self.end(each.number, "surplus")

    def _beyond(self) -> list[FrozenTrial]:
        """Trials that are not over and do not count."""
        counted = {each.number for each in self.counted()}
        every = self.study.get_trials(deepcopy=False)
        return [
            each for each in every if each.number not in counted and not each.state.is_finished()
        ]

    def _note(self, number: int, key: str, value: str) -> None:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        self.storage.set_trial_user_attr(trial, key, value)
