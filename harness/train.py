"""Training a population until some of its members end."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lengthwise.harness.evaluate import Validation
from lengthwise.harness.population import Population

Status = Literal["finished", "solved", "diverged", "pruned"]


class Interrupted(Exception):  # noqa: N818
    """Somebody asked to stop; everything is saved."""


@dataclass
class Memory:
    """What one member remembers beside its tensors."""

    status: Status | None = None
    """How it ended; None while it trains."""
    history: list[tuple[int, float, float]] = field(default_factory=list)
    """(step, mean training loss since the last entry, validation accuracy)."""
    recent: list[float] = field(default_factory=list)
    """Training losses since the last entry."""
    seconds: float = 0.0
    """Its share of the wall time."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


Prune = Callable[[Population, list[Memory]], None]
"""Called after a validation; it may say of members that go on that they are pruned."""


def keep_all(_population: Population, _memories: list[Memory]) -> None:
    """Prunes nobody."""


def train(
    population: Population,
    memories: list[Memory],
    *,
    save: Callable[[], None],
    tell: Callable[[dict[str, Any]], None],
    stopped: Callable[[], bool],
    checkpoint_seconds: float,
    prune: Prune = keep_all,
) -> None:
    """Trains until at least one member ends, which its memory then says.

    The data of step n depends on n alone, so training that goes on from a checkpoint equals
    training without a break, bit for bit on one CPU with the same number of threads.

    Raises:
        Interrupted: `stopped()` was true; the members had been saved.
    """
    settings = population.runs[0].train
    validation = Validation(population)
    saved = begin = time.monotonic()
    while not any(memory.status for memory in memories):
        population.advance()
        last = population.step == settings.steps
        due = last or population.step % settings.validate_every == 0
        save_now = time.monotonic() - saved > checkpoint_seconds
        interrupted = stopped()
        if due or save_now or interrupted or population.must_take_losses:
            for memory, recent in zip(memories, population.take_losses(), strict=True):
                memory.recent += recent
                memory.seconds += (time.monotonic() - begin) / len(memories)
            begin = time.monotonic()
            if due:
                _record(population, memories, validation(), last=last)
                prune(population, memories)
            if save_now or interrupted:
                save()
                saved = time.monotonic()
            tell(progress(population, memories))
        if interrupted:
            raise Interrupted


def _record(
    population: Population, memories: list[Memory], accuracies: list[float], *, last: bool
) -> None:
    """Writes one line of history a member, and decides who has ended and how."""
    # The loss of a step is that before its update, which may be the one that overflowed.
    finite = population.flat.isfinite().all(1).tolist()
    members = zip(population.runs, memories, accuracies, finite, strict=True)
    for run, memory, accuracy, sound in members:
        loss = sum(memory.recent) / len(memory.recent)
        memory.history.append((population.step, loss, accuracy))
        memory.recent.clear()
        if not (math.isfinite(loss) and sound):
            memory.status = "diverged"
        elif run.train.stop_at is not None and accuracy >= run.train.stop_at:
            memory.status = "solved"
        elif last:
            memory.status = "finished"


def progress(population: Population, memories: list[Memory]) -> dict[str, Any]:
    """What somebody watching wants to know."""
    history = [memory.history[-1] for memory in memories if memory.history]
    return {
        "step": population.step,
        "members": len(population.runs),
        "loss": min((loss for _, loss, _ in history), default=None),
        "validation": max((validation for *_, validation in history), default=None),
    }
