"""Optuna's samplers and pruners by name."""

from typing import assert_never

from lengthwise.harness.tune.settings import SamplerName
from lengthwise.harness.tune.space import grid
from lengthwise.harness.tune.study import Contender, Study
from optuna import pruners, samplers

STARTUP_TRIALS = 8
"""Trials drawn at random before a model of the space is made."""


def sampler(study: Study, contender: Contender) -> samplers.BaseSampler:
    """What chooses the next setting; trials that still run count by a pessimistic guess."""
    name: SamplerName = study.settings.sampler
    batch = study.settings.budget.batch
    match name:
        case "tpe":
            return samplers.TPESampler(
                multivariate=True, constant_liar=True, n_startup_trials=STARTUP_TRIALS
            )
        case "random":
            return samplers.RandomSampler()
        case "grid":
            # Every process must see the grid in the same order.
            return samplers.GridSampler(grid(contender.parameters), seed=0)
        case "gp":
            return samplers.GPSampler(n_startup_trials=STARTUP_TRIALS)
        case "cmaes":
            return samplers.CmaEsSampler(
                n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False
            )
        case "nsga2":
            return samplers.NSGAIISampler(population_size=max(2, batch))
    assert_never(name)


def pruner(study: Study) -> pruners.BasePruner:
    """What ends a trial before its time."""
    train = study.settings.train
    match study.pruner:
        case "median":
            # The first third of training says little: many architectures learn late and at once.
            return pruners.MedianPruner(
                n_startup_trials=STARTUP_TRIALS, n_warmup_steps=train.steps // 3
            )
        case "hyperband":
            return pruners.HyperbandPruner(
                min_resource=train.validate_every, max_resource=train.steps * len(study.tasks)
            )
        case _:
            return pruners.NopPruner()
