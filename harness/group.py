"""A population with its memory: taken up from the store, saved, its runs stored as they end."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pandas as pd
import torch
from lengthwise.harness.plan import Run
from lengthwise.harness.population import Population
from lengthwise.harness.provenance import machine, versions
from lengthwise.harness.store import Checkpoint, Store
from lengthwise.harness.train import Memory


def resumable(runs: Sequence[Run], store: Store) -> list[tuple[int, list[Run]]]:
    """Splits runs of one shape into groups that can go on together, each from a step.

    That is all of them where one step is common to their checkpoints, as an interrupted population
    leaves it, and otherwise those with the same newest step.
    """
    if not runs:
        return []
    steps = [_whole_steps(run, store) or {0} for run in runs]
    if common := set.intersection(*steps):
        return [(max(common), list(runs))]
    newest = [max(each) for each in steps]
    return [
        (step, [run for run, each in zip(runs, newest, strict=True) if each == step])
        for step in sorted(set(newest), reverse=True)
    ]


def _whole_steps(run: Run, store: Store) -> set[int]:
    """Steps that no companion is behind of; one that is shows a save that was cut short."""

    def whole(step: int) -> bool:
        companions = store.companions(run.id, step)
        return all(
            store.finished(each) or max(store.checkpoint_steps(each), default=0) >= step
            for each in companions
        )

    return {step for step in store.checkpoint_steps(run.id) if whole(step)}


class Group:
    """Runs trained together, from a step on."""

    def __init__(self, runs: Sequence[Run], step: int, store: Store, device: str) -> None:
        self.store = store
        self.population = Population(runs, device)
        self.memories = [Memory() for _ in runs]
        if step:
            loaded = [store.load_checkpoint(run.id, step) for run in runs]
            self.population.load(step, [each.tensors for each in loaded])
            self.memories = [Memory(**each.memory) for each in loaded]

    def save(self) -> None:
        """Checkpoints every member; only then are older checkpoints deleted."""
        step = self.population.step
        companions = [run.id for run in self.population.runs]
        for member, run in enumerate(self.population.runs):
            memory = self.memories[member].to_json()
            checkpoint = Checkpoint(self.population.member_state(member), memory, companions)
            self.store.save_checkpoint(run.id, step, checkpoint)
        for run in self.population.runs:
            self.store.drop_checkpoints(run.id, before=step)

    def release(self, backends: dict[str, set[str]]) -> None:
        """Stores the members that have ended and drops them from the population.

        A pruned member leaves nothing: it is no result, and may be trained to its end later.
        Everybody is saved first: after a kill in the middle the others go on exactly the same way.
        """
        self.save()
        for member, run in enumerate(self.population.runs):
            if self.memories[member].status == "pruned":
                self.store.drop_checkpoints(run.id)
            elif self.memories[member].status:
                self._store(run, member, backends)
        staying = [n for n, memory in enumerate(self.memories) if not memory.status]
        self.memories[:] = [self.memories[n] for n in staying]
        self.population.keep(staying)

    def _store(self, run: Run, member: int, backends: dict[str, set[str]]) -> None:
        memory = self.memories[member]
        history = pd.DataFrame(memory.history, columns=["step", "loss", "validation"])
        record = {
            "run": run.to_json(),
            "status": memory.status,
            "steps": self.population.step,
            "seconds": memory.seconds,
            "parameters": sum(each.numel() for each in self.population.model.parameters()),
            "loss": float(history["loss"].iloc[-1]),
            "validation": float(history["validation"].iloc[-1]),
            "device": str(self.population.device),
            "not_captured": self.population.advancing.refusal,
            "threads": torch.get_num_threads(),
            "backends": {name: sorted(used) for name, used in backends.items()},
            "versions": versions(),
            "machine": machine(),
            "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        weights = {} if memory.status == "diverged" else self.population.weights(member)
        self.store.save_run(run.id, record, weights, history)
        self.store.drop_checkpoints(run.id)
