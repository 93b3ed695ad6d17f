"""Jobs spread over processes: each job in one of its own, so that a crash takes nothing else."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Event
from typing import Any, Protocol, Self

from lengthwise.harness.job import Stopped, Tell
from lengthwise.harness.train import Interrupted

Watch = Callable[[int, dict[str, Any]], None]
"""Called with a job's index and what it tells: {"started"}, its progress, then {"ended"}."""

INTERRUPTED = 75
"""Exit status of a worker that was asked to stop (EX_TEMPFAIL)."""


class Work(Protocol):
    """What a worker process does: a frozen dataclass that pickles."""

    @property
    def device(self) -> str: ...

    def on(self, device: str) -> Self:
        """The same on another device."""
        ...

    def execute(self, tell: Tell, stopped: Stopped) -> None:
        """Does it; raises Interrupted after saving once `stopped()` is true."""
        ...

    def note_death(self, how: str) -> None:
        """Called in the parent when the process that executed it died, with how it did."""
        ...


def execute(jobs: Sequence[Work], devices: Sequence[str], watch: Watch) -> None:
    """Executes the jobs in order, one at a time on each of the devices; one may be named twice.

    Raises:
        KeyboardInterrupt: after every worker has saved its state and ended.
    """
    # The server imports torch and what the jobs need once; each is then forked in milliseconds.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(sorted({type(job).__module__ for job in jobs}))
    stop = context.Event()
    waiting = deque(enumerate(jobs))
    free = list(reversed(devices))
    running: dict[Connection, tuple[int, Work, ForkServerProcess]] = {}
    try:
        while waiting or running:
            while waiting and free:
                index, job = waiting.popleft()
                job = job.on(free.pop())
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(job, sender, stop))
                process.start()
                sender.close()
                running[receiver] = (index, job, process)
                watch(index, {"started": True})
            for receiver in wait(list(running)):
                assert isinstance(receiver, Connection)
                index, job, process = running[receiver]
                try:
                    watch(index, receiver.recv())
                except EOFError:
                    del running[receiver]
                    receiver.close()
                    process.join()
                    free.append(job.device)
                    _note_death(job, process.exitcode)
                    watch(index, {"ended": True})
    except BaseException:
        stop.set()
        for _, _, process in running.values():
            process.join()
        raise


def _work(job: Work, sender: Connection, stop: Event) -> None:
    """Runs in the worker. Ctrl-C reaches it through the parent, which waits until it has saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    terminated: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: terminated.append(number))
    server = os.getppid()

    def tell(message: dict[str, Any]) -> None:
        try:
            sender.send(message)
        except OSError:
            terminated.append(signal.SIGPIPE)

    def stopped() -> bool:
        # Without its parent a worker saves and ends; the successor waits for its lock.
        return bool(terminated) or os.getppid() != server or stop.is_set()

    try:
        job.execute(tell, stopped)
    except Interrupted:
        raise SystemExit(INTERRUPTED) from None


def _note_death(job: Work, status: int | None) -> None:
    """Tells the job that its worker died; one that ended or was asked to stop left a record."""
    if status in (0, INTERRUPTED):
        return
    how = f"by signal {-status}" if status is not None and status < 0 else f"with status {status}"
    job.note_death(how)
