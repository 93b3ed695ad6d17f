"""Training examples on the device: made block by block, kept for later epochs while they fit."""

from collections.abc import Sequence
from dataclasses import fields

import torch
from lengthwise.harness.settings import TrainSettings
from lengthwise.tasks.task import Batch, Split, Task
from torch import Tensor

BLOCK = 32
"""Steps whose examples are made in one call."""
KEPT_BYTES = 2**30
"""Memory that examples may take."""

NAMES = tuple(field.name for field in fields(Batch))


def sample(
    task: Task,
    seeds: Sequence[int],
    split: Split,
    start: int,
    count: int,
    length: int,
    device: torch.device,
) -> Batch:
    """The same examples of several seeds: every field gets a first dimension [S, …]."""
    made = [
        task.sample(seed=seed, split=split, start=start, count=count, length=length, device=device)
        for seed in seeds
    ]
    return Batch(**{name: torch.stack([getattr(each, name) for each in made]) for name in NAMES})


def of_members(batch: Batch, which: Tensor, rows: Tensor) -> Batch:
    """Every member's examples, joined along the batch: [S, N, …] → [P · B, …].

    Args:
        batch: N examples of each of S seeds.
        which: [P] int64, the place of each member's seed among them.
        rows: [B] int64, the examples to take.
    """
    place = (which[:, None], rows)
    return Batch(**{name: getattr(batch, name)[place].flatten(0, 1) for name in NAMES})


class TrainingExamples:
    """The examples of each step of an epoch, for several seeds.

    A ring of blocks: an epoch that fits is made once, a longer one again in every epoch. `prepare`
    makes what a step lacks; `batch` only reads, so that it can stand in a CUDA graph.
    """

    def __init__(
        self, task: Task, seeds: Sequence[int], train: TrainSettings, device: torch.device
    ) -> None:
        self.task, self.seeds, self.train, self.device = task, seeds, train, device
        self._held: dict[int, int] = {}
        """Which block is in which place of the ring."""
        self._ring: Batch | None = None
        self._places = 1

    def prepare(self, step: int) -> None:
        """Makes the block that holds a step's examples unless it is there."""
        block = step % self.train.steps_per_epoch // BLOCK
        if self._held.get(block % self._places) == block:
            return
        size = self.train.batch_size
        first = block * BLOCK
        steps = min(BLOCK, self.train.steps_per_epoch - first)
        begin, count, length = first * size, steps * size, self.train.length
        made = sample(self.task, self.seeds, "train", begin, count, length, self.device)
        ring = self._ring or self._room(made, steps)
        place = block % self._places
        begin = place * BLOCK * size
        for name in NAMES:
            getattr(ring, name)[:, begin : begin + count] = getattr(made, name)
        self._held[place] = block

    def _room(self, made: Batch, steps: int) -> Batch:
        a_block = sum(getattr(made, name).nbytes for name in NAMES) // steps * BLOCK
        blocks = -(-self.train.steps_per_epoch // BLOCK)
        self._places = min(blocks, max(1, KEPT_BYTES // a_block))
        rows = min(self._places * BLOCK, self.train.steps_per_epoch) * self.train.batch_size
        self._ring = Batch(
            **{
                name: old.new_empty(len(self.seeds), rows, *old.shape[2:])
                for name in NAMES
                for old in (getattr(made, name),)
            }
        )
        return self._ring

    def batch(self, count: Tensor, which: Tensor) -> Batch:
        """The examples of step `count` [1], which was prepared, of every member [P · B, …]."""
        assert self._ring is not None
        position = count % self.train.steps_per_epoch
        row = position // BLOCK % self._places * BLOCK + position % BLOCK
        size = self.train.batch_size
        rows = row * size + torch.arange(size, device=self.device)
        return of_members(self._ring, which, rows)
