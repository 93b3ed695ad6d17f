"""The settings of every task that the shared laws are tested with."""

from dataclasses import dataclass, fields

import torch
from lengthwise.tasks.copying import Copying
from lengthwise.tasks.mqar import MQAR
from lengthwise.tasks.needle import Needle
from lengthwise.tasks.task import Batch, Task
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """A task at a length, with prompts so many that a coincidence of two would be a fault."""

    task: Task
    length: int

    def __str__(self) -> str:
        knobs = (
            str(value).replace(" ", "")
            for field in fields(self.task)  # pyright: ignore[reportArgumentType]
            if (value := getattr(self.task, field.name)) != field.default
        )
        return "-".join([type(self.task).__name__, *knobs, str(self.length)])


CASES = [
    Case(MQAR(num_pairs=4), 64),
    Case(MQAR(num_pairs=4, gap="uniform", random_filler=False), 64),
    Case(MQAR(num_pairs=4, gap="far", power_a=1.0), 66),
    Case(MQAR(num_pairs=4, gap={"fixed": 16}), 64),
    Case(MQAR(vocab_size=64, num_pairs=31, power_a=0.5), 124),
    Case(MQAR(num_pairs=128, vocab_size=512, random_filler=False), 514),
    Case(Copying(), 64),
    Case(Copying(vocab_size=8), 65),
    Case(Copying(selective=True), 257),
    Case(Copying(selective=True, density=1.0), 63),
    Case(Copying(selective=True, density=0.05), 400),
    Case(Needle(), 64),
    Case(Needle(vocab_size=16, num_needles=5, value_length=3), 29),
    Case(Needle(num_needles=4, depth=0.0), 64),
    Case(Needle(num_needles=20, depth=0.3, value_length=2), 128),
    Case(Needle(num_needles=2, depth=1, value_length=7), 128),
]


def columns(batch: Batch) -> dict[str, Tensor]:
    return {field.name: getattr(batch, field.name) for field in fields(batch)}


def same(left: Batch, right: Batch) -> bool:
    return all(
        torch.equal(column, columns(right)[name].to(column.device))
        for name, column in columns(left).items()
    )


def concatenated(*batches: Batch) -> Batch:
    parts = [columns(batch) for batch in batches]
    return Batch(**{name: torch.cat([part[name] for part in parts]) for name in parts[0]})
