"""Whether a stacked member's result is that of the same run trained alone, on any device."""

from dataclasses import dataclass

import torch
from lengthwise.harness.bench.train.settings import ARCHITECTURES, Setting, runs
from lengthwise.harness.population import Population

SMALL = Setting(length=64, pairs=4, width=64, batch_size=64)
STEPS = 20


@dataclass(frozen=True)
class Difference:
    """Between the members of a population and the same runs alone, after the same steps."""

    architecture: str
    parameters: float
    """The largest of ‖stacked − alone‖ / ‖alone − initial‖ over members."""
    losses: float
    """The largest relative difference of a loss."""


def differences(device: str, members: int = 3) -> list[Difference]:
    """Of every architecture in float32."""
    return [_difference(name, device, members) for name in ARCHITECTURES]


def _difference(architecture: str, device: str, members: int) -> Difference:
    every = runs(SMALL, architecture, "float32", members)
    together = Population(every, device)
    losses = _trained(together)
    of_parameters, of_losses = 0.0, 0.0
    for member, run in enumerate(every):
        alone = Population([run], device)
        initial = alone.flat.detach().clone()
        (expected,) = _trained(alone)
        final = alone.flat.detach()
        moved = (final - initial).norm()
        apart = (together.flat.detach()[member] - final[0]).norm() / moved
        of_parameters = max(of_parameters, float(apart))
        found = torch.tensor(losses[member]) / torch.tensor(expected) - 1
        of_losses = max(of_losses, float(found.abs().max()))
    return Difference(architecture, of_parameters, of_losses)


def _trained(population: Population) -> list[list[float]]:
    for _ in range(STEPS):
        population.advance()
    return population.take_losses()
