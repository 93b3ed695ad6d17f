"""Telling trials that are worked on from those whose worker is lost, without comparing clocks.

A worker counts up an attribute of each trial it has. Who waits for a trial watches that number:
when it stands still for the time of grace, measured by the watcher's own clock, the worker is
lost. That holds in every storage, and also for a worker killed between asking and its first beat.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial

BEAT_SECONDS = 5.0
GRACE_SECONDS = 30.0


@contextmanager
def beating(trials: Iterable[Trial], seconds: float) -> Iterator[None]:
    """Beats for the trials, in a thread of its own; what broke there is raised at the end."""
    stop = Event()
    broken: list[Exception] = []
    held = list(trials)

    def beat() -> None:
        count = 0
        while not stop.wait(seconds):
            count += 1
            for trial in held:
                try:
                    trial.set_user_attr("heartbeat", count)
                except UpdateFinishedTrialError:
                    continue
                except Exception as error:
                    broken.append(error)
                    return

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if broken:
        raise broken[0]


class Watcher:
    """Remembers when each running trial last showed a sign of life."""

    def __init__(self, grace_seconds: float) -> None:
        self.grace_seconds = grace_seconds
        self.seen: dict[tuple[str, int], tuple[Any, float]] = {}

    def lost(self, study: str, running: Iterable[FrozenTrial]) -> list[FrozenTrial]:
        """Those without a sign of life for the time of grace, as far as this watcher has seen."""
        now = time.monotonic()
        found: list[FrozenTrial] = []
        for trial in running:
            sign = (trial.user_attrs.get("worker"), trial.user_attrs.get("heartbeat"))
            last, since = self.seen.get((study, trial.number), (None, now))
            if last != sign:
                since = now
            self.seen[study, trial.number] = (sign, since)
            if now - since > self.grace_seconds:
                found.append(trial)
        return found
