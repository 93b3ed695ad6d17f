"""From a study to its report: the trials, the choice, the test of the choice."""

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lengthwise.harness.collect import asked
from lengthwise.harness.provenance import cores
from lengthwise.harness.report.results import Results
from lengthwise.harness.run import CHECKPOINT_SECONDS, Options, Watching, run_suite
from lengthwise.harness.source import InputError
from lengthwise.harness.store import Store
from lengthwise.harness.tune import heartbeat
from lengthwise.harness.tune.best import best, best_yaml, final_suite, record
from lengthwise.harness.tune.bookkeeping import ATTEMPTS, Book
from lengthwise.harness.tune.storage import create_or_load, opened, sqlite
from lengthwise.harness.tune.study import Study
from lengthwise.harness.tune.worker import Worker, books_of
from lengthwise.harness.workers import Watch, execute

WatchingTrials = Callable[[dict[str, Book]], AbstractContextManager[Watch]]


@dataclass(frozen=True)
class Tuned:
    """What a call of `tune_study` leaves."""

    results: Results
    report: Path
    best: Path
    """The suite of the chosen settings."""


def tune_study(
    study: Study,
    options: Options,
    storage: str | None,
    command: list[str],
    watching_trials: WatchingTrials,
    watching: Watching,
) -> Tuned:
    """Runs what is missing of a study's trials, tests what they chose, and writes the report.

    Args:
        storage: where the trials are kept; a file in the results folder unless given.

    Raises:
        InputError: the results folder or the storage is wrong; nothing was computed.
        KeyboardInterrupt: after everything was saved; the same call goes on.
    """
    folder = options.out or Path("results") / study.name
    store = Store.create(folder)
    # What is tested is known after the trials; until then the report has no runs.
    untested = replace(final_suite(study, dict.fromkeys(_labels(study))), runs=())
    store.save_suite(asked(untested, command))
    where = storage or sqlite(folder)
    with opened(where) as held:
        for contender in study.contenders:
            create_or_load(study, contender, held)
        books = books_of(study, held, store.root)
        with watching_trials(books) as watch:
            _work(study, options, where, store, books, watch)
        for book in books.values():
            book.withdraw_surplus()
        chosen = {each.label: best(study, each, books[each.label]) for each in study.contenders}
        written = store.save_tuning(record(study, chosen, books), best_yaml(study, chosen))
    suite = final_suite(study, chosen)
    results, report = run_suite(suite, replace(options, out=folder), command, watching)
    return Tuned(results, report, written)


def _labels(study: Study) -> list[str]:
    return [each.label for each in study.contenders]


def _work(
    study: Study,
    options: Options,
    where: str,
    store: Store,
    books: dict[str, Book],
    watch: Watch,
) -> None:
    """Starts workers until every trial is over; those of workers that died are begun again."""

    def told(index: int, message: dict[str, Any]) -> None:
        if "broken" in message:
            raise InputError(message["broken"])
        watch(index, message)

    def over() -> int:
        return sum(book.finished() for book in books.values())

    planned = sum(book.trials for book in books.values())
    batches = -(-planned // study.settings.budget.batch)
    only_cpu = options.devices == ("cpu",)
    wanted = options.workers or (cores() if only_cpu else len(options.devices))
    count = min(wanted, batches)
    slots = [options.devices[n % len(options.devices)] for n in range(count)]
    idle = 0
    while (before := over()) < planned:
        workers = [
            Worker(
                study=study,
                root=store.root,
                storage=where,
                name=uuid.uuid4().hex,
                turn=n % len(books),
                beat_seconds=heartbeat.BEAT_SECONDS,
                grace_seconds=heartbeat.GRACE_SECONDS,
                checkpoint_seconds=CHECKPOINT_SECONDS,
                threads=max(1, cores() // count),
            )
            for n in range(count)
        ]
        execute(workers, slots, told)
        idle = 0 if over() > before else idle + 1
        if idle > ATTEMPTS:
            raise RuntimeError("every worker ends before it has finished a trial")
