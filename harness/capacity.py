"""How many members of a shape a GPU has room for, measured before training."""

from collections.abc import Sequence

import torch
from lengthwise.harness.plan import Run
from lengthwise.harness.population import Population

SHARE = 0.8
"""Of the memory that is free; the rest is for what is captured twice and for validation."""


def fitting(runs: Sequence[Run], device: str) -> list[list[Run]]:
    """Parts of a population that fit into memory one after the other, as equal as can be.

    A training step of one member is run and its peak taken as that of each; on a CPU nothing is
    measured and nothing parted.

    Raises:
        torch.OutOfMemoryError: not even one member fits.
    """
    if torch.device(device).type != "cuda" or len(runs) == 1:
        return [list(runs)]
    free, _ = torch.cuda.mem_get_info(device)
    most = max(1, int(SHARE * free / _peak(runs[0], device)))
    parts = -(-len(runs) // most)
    size = -(-len(runs) // parts)
    return [list(runs[begin : begin + size]) for begin in range(0, len(runs), size)]


def _peak(run: Run, device: str) -> int:
    """Bytes that one member's training step takes at most."""
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    population = Population([run], device)
    population.advance()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    del population
    torch.cuda.empty_cache()
    return peak
