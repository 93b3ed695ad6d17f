"""The learning rate of every step as a factor of its peak."""

import math

from lengthwise.harness.settings import TrainSettings


def learning_rate_factors(train: TrainSettings) -> list[float]:
    """One factor a step: linear warm-up, then what `train.schedule` says.

    >>> train = TrainSettings(batch_size=1, examples=8, warmup_steps=2)
    >>> [round(factor, 2) for factor in learning_rate_factors(train)][:6]
    [0.5, 1.0, 1.0, 0.93, 0.75, 0.5]
    """
    return [_factor(train, step) for step in range(train.steps)]


def _factor(train: TrainSettings, step: int) -> float:
    if step < train.warmup_steps:
        return (step + 1) / train.warmup_steps
    if train.schedule == "constant":
        return 1.0
    if train.schedule == "cosine_by_epoch":
        done = step // train.steps_per_epoch / train.epochs
    else:
        done = (step - train.warmup_steps) / max(1, train.steps - train.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
