"""A population with its memory: taken up from the store, saved, its runs stored as they end."""

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import pandas as pd
import torch
from lengthwise.harness.plan import Run
from lengthwise.harness.population import Population
from lengthwise.harness.store import Checkpoint, Store
from lengthwise.harness.train import Memory


def resumable(runs: Sequence[Run], store: Store) -> Iterator[list[Run]]:
    """Splits runs of one shape into those that can go on together.

    That is all of them where one step is common to their checkpoints, as an interrupted population
    leaves it, and otherwise those with the same newest step.
    """
    steps = [store.checkpoint_steps(run.id) or {0} for run in runs]
    if runs and set.intersection(*steps):
        yield list(runs)
        return
    for newest in sorted({max(each) for each in steps}, reverse=True):
        yield [run for run, each in zip(runs, steps, strict=True) if max(each) == newest]


class Group:
    """Runs trained together."""

    def __init__(self, runs: Sequence[Run], store: Store, device: str) -> None:
        self.store = store
        self.population = Population(runs, device)
        self.memories = [Memory() for _ in runs]
        common = set.intersection(*(store.checkpoint_steps(run.id) for run in runs))
        if common:
            loaded = [store.load_checkpoint(run.id, max(common)) for run in runs]
            self.population.load(max(common), [each.tensors for each in loaded])
            self.memories = [Memory(**each.memory) for each in loaded]

    def save(self) -> None:
        """Checkpoints every member; only then are older checkpoints deleted."""
        step = self.population.step
        for member, run in enumerate(self.population.runs):
            memory = self.memories[member].to_json()
            checkpoint = Checkpoint(self.population.member_state(member), memory)
            self.store.save_checkpoint(run.id, step, checkpoint)
        for run in self.population.runs:
            self.store.drop_checkpoints(run.id, before=step)

    def release(self, backends: dict[str, set[str]]) -> None:
        """Stores the members that have ended and drops them from the population.

        Everybody is saved first: after a kill in the middle the others go on exactly the same way.
        """
        self.save()
        for member, run in enumerate(self.population.runs):
            if self.memories[member].status:
                self._store(run, member, backends)
        staying = [n for n, memory in enumerate(self.memories) if not memory.status]
        self.memories[:] = [self.memories[n] for n in staying]
        self.population.keep(staying)

    def _store(self, run: Run, member: int, backends: dict[str, set[str]]) -> None:
        memory = self.memories[member]
        weights = self.population.weights(member)
        history = pd.DataFrame(memory.history, columns=["step", "loss", "validation"])
        record = {
            "run": run.to_json(),
            "status": memory.status,
            "steps": self.population.step,
            "seconds": memory.seconds,
            "parameters": sum(each.numel() for each in weights.values()),
            "loss": float(history["loss"].iloc[-1]),
            "validation": float(history["validation"].iloc[-1]),
            "device": str(self.population.device),
            "threads": torch.get_num_threads(),
            "backends": {name: sorted(used) for name, used in backends.items()},
            "versions": {
                "lengthwise": version("lengthwise"),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "machine": f"{platform.system()} {platform.machine()}",
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        if memory.status == "diverged":
            weights = {}
        self.store.save_run(run.id, record, weights, history)
        self.store.forget_failure(run.id)
        self.store.drop_checkpoints(run.id)
