"""Jobs spread over processes: each job in one of its own, so that a crash takes nothing else."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from typing import Any

from lengthwise.harness.job import Job, record_failures
from lengthwise.harness.store import Store
from lengthwise.harness.train import Interrupted

Watch = Callable[[int, dict[str, Any]], None]
"""Called with a job's index and what it tells: {"started"}, its progress, then {"ended"}."""

INTERRUPTED = 75
"""Exit status of a worker that was asked to stop (EX_TEMPFAIL)."""


class WorkerDiedError(RuntimeError):
    """A worker process ended without a word: killed, or crashed below Python."""


def execute(jobs: Sequence[Job], workers: int, watch: Watch) -> None:
    """Executes the jobs, at most `workers` at a time, in order.

    Raises:
        KeyboardInterrupt: after every worker has saved its state and ended.
    """
    # The server imports torch once; each job is then forked from it in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lengthwise.harness.job"])
    stop = context.Event()
    waiting = deque(enumerate(jobs))
    running: dict[Connection, tuple[int, ForkServerProcess]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                index, job = waiting.popleft()
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, sender, stop))
                process.start()
                sender.close()
                running[receiver] = (index, process)
                watch(index, {"started": True})
            for receiver in wait(list(running)):
                assert isinstance(receiver, Connection)
                index, process = running[receiver]
                try:
                    watch(index, receiver.recv())
                except EOFError:
                    del running[receiver]
                    process.join()
                    _note_death(jobs[index], process.exitcode)
                    watch(index, {"ended": True})
    except BaseException:
        stop.set()
        for _, process in running.values():
            process.join()
        raise


def _work(job: Job, sender: Connection, stop: Event) -> None:
    """Runs in the worker. Ctrl-C reaches it through the parent, which waits until it has saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server = os.getppid()

    def tell(message: dict[str, Any]) -> None:
        if os.getppid() != server:
            # Whoever started us is gone, and may be back already working on the same runs.
            os._exit(INTERRUPTED)
        sender.send(message)

    def stopped() -> bool:
        if os.getppid() != server:
            os._exit(INTERRUPTED)
        return stop.is_set()

    try:
        job.execute(tell, stopped)
    except Interrupted:
        raise SystemExit(INTERRUPTED) from None


def _note_death(job: Job, status: int | None) -> None:
    """Records the runs of a worker that died; one that ended or was asked to stop left a record."""
    if status in (0, INTERRUPTED):
        return
    how = f"by signal {-status}" if status is not None and status < 0 else f"with status {status}"
    error = WorkerDiedError(
        f"the worker process ended {how}; its runs go on from their checkpoints"
    )
    store = Store.open(job.root)
    broken = job.untrained(store) or [run for n in job.lengths for run in job.untested(store, n)]
    record_failures(store, broken, error, "worker process")
