"""Calls that are captured where there is a GPU, and simply called elsewhere."""

import pytest
import torch
from lengthwise.harness.graph import Captured

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def counter(device: str) -> tuple[torch.Tensor, Captured]:
    count = torch.zeros((), device=device)
    return count, Captured(lambda: count.add_(1).clone(), torch.device(device))


def test_on_a_cpu_every_call_is_the_function() -> None:
    count, counting = counter("cpu")
    assert [float(counting()) for _ in range(4)] == [1, 2, 3, 4]
    assert float(count) == 4
    assert not counting.replays
    counting.forget()
    assert float(counting()) == 5


@needs_gpu
def test_on_a_gpu_each_call_counts_once_and_later_ones_replay() -> None:
    count, counting = counter("cuda")
    assert [float(counting()) for _ in range(4)] == [1, 2, 3, 4]
    assert float(count) == 4
    assert counting.replays


@needs_gpu
def test_what_waits_for_the_gpu_is_run_as_it_is() -> None:
    count = torch.zeros((), device="cuda")

    def waits() -> torch.Tensor:
        count.add_(1)
        return torch.full((), count.item(), device="cuda")

    waiting = Captured(waits, torch.device("cuda"))
    assert [float(waiting()) for _ in range(3)] == [1, 2, 3]
    assert waiting.refusal
