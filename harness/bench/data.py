"""How many examples of each task are generated in a second."""

import statistics
import time
from dataclasses import dataclass

from lengthwise.harness import plugins
from lengthwise.tasks.task import Task


@dataclass(frozen=True)
class Rate:
    """The median over repetitions."""

    task: str
    length: int
    count: int
    examples_per_second: float
    tokens_per_second: float


def measure(task: Task, name: str, length: int, count: int, repeats: int, device: str) -> Rate:
    """Times `sample`, fresh examples each time, after one call that is not counted."""
    seconds: list[float] = []
    for repeat in range(repeats + 1):
        begin = time.perf_counter()
        batch = task.sample(
            seed=0, split="train", start=repeat * count, count=count, length=length, device=device
        )
        batch.tokens[-1, -1].item()  # waits for a device
        seconds.append(time.perf_counter() - begin)
    rate = count / statistics.median(seconds[1:])
    return Rate(name, length, count, rate, rate * length)


def all_tasks(length: int, count: int, repeats: int, device: str) -> list[Rate]:
    """Every built-in task with its default knobs; `mqar` has Zoology's vocabulary of 8192."""
    return [
        measure(_fitting(name), name, length, count, repeats, device)
        for name in plugins.built_in(plugins.TASK)
    ]


def _fitting(name: str) -> Task:
    return plugins.find(plugins.TASK, name)()
