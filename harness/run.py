"""From a suite to its report."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from lengthwise.harness.collect import asked, collect
from lengthwise.harness.job import Job
from lengthwise.harness.plan import Run, populations
from lengthwise.harness.provenance import cores
from lengthwise.harness.report import write_report
from lengthwise.harness.report.results import Results
from lengthwise.harness.store import Store
from lengthwise.harness.suite import Suite
from lengthwise.harness.workers import Watch, execute

Watching = Callable[[Sequence[Job]], AbstractContextManager[Watch]]

CHECKPOINT_SECONDS = 30.0
"""What a kill may cost."""


@dataclass(frozen=True)
class Options:
    """How a suite is run; none of it changes a result."""

    out: Path | None = None
    """Results folder; results/<suite> unless given."""
    devices: tuple[str, ...] = ("cpu",)
    workers: int | None = None
    """Processes at a time; as many as devices, or as cores where the only device is the CPU."""

    def folder(self, suite: Suite) -> Path:
        return self.out or Path("results") / suite.name


def run_suite(
    suite: Suite, options: Options, command: list[str], watching: Watching
) -> tuple[Results, Path]:
    """Runs what is missing of a suite and writes its report.

    Returns:
        The results, and the path of the report.

    Raises:
        InputError: the results folder is wrong; nothing was computed.
        KeyboardInterrupt: after everything was saved; the same call goes on.
    """
    store = Store.create(options.folder(suite))
    plan = asked(suite, command)
    store.save_suite(plan)
    jobs, slots = plan_jobs(suite, store, options)
    with watching(jobs) as watch:
        execute(jobs, slots, watch)
    results = collect(store, plan)
    return results, write_report(results, store.root / "report")


def plan_jobs(suite: Suite, store: Store, options: Options) -> tuple[list[Job], list[str]]:
    """The jobs that are not complete, and the device of each worker to execute them."""
    only_cpu = options.devices == ("cpu",)
    groups = [
        runs for tested_alike in _by_evaluation(suite.runs) for runs in populations(tested_alike)
    ]
    wanted = options.workers or (cores() if only_cpu else len(options.devices))
    workers = min(wanted, len(groups))
    jobs = [
        Job(
            runs=tuple(runs),
            root=store.root,
            lengths=tuple(runs[0].evaluate.lengths),
            examples=runs[0].evaluate.examples,
            threads=max(1, cores() // workers),
            checkpoint_seconds=CHECKPOINT_SECONDS,
        )
        for runs in groups
    ]
    slots = [options.devices[n % len(options.devices)] for n in range(workers)]
    return [job for job in jobs if not job.complete(store)], slots


def _by_evaluation(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs that are tested at the same lengths on as many examples."""
    groups: dict[tuple[int, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.evaluate.examples, *run.evaluate.lengths), []).append(run)
    return list(groups.values())
