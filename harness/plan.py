"""What a suite asks for, as plain data: runs with content ids, grouped into populations."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from lengthwise.architectures.model import Model, ModelConfig, build_model
from lengthwise.harness import plugins
from lengthwise.harness.settings import EvaluateSettings, TrainSettings
from lengthwise.tasks.task import Task

RESULT_VERSION = 3
"""Raised whenever a change of ours changes what a run computes: results then count as new."""

STACKABLE = ("schedule", "warmup_steps", "clip", "stop_at")
STACKABLE_OF_OPTIMIZER = ("lr", "weight_decay", "beta1", "beta2")
"""Settings of training that members of one population may differ in, beside the seed."""


@dataclass(frozen=True)
class Choice:
    """A plug-in by name, with every option spelled out."""

    kind: str
    name: str
    options: dict[str, Any]

    @property
    def plugin(self) -> type:
        return plugins.find(_KINDS[self.kind], self.name)

    def identity(self) -> dict[str, Any]:
        return asdict(self) | {"digest": plugins.digest(self.plugin)}


_KINDS = {kind.name: kind for kind in (plugins.TASK, plugins.MIXER, plugins.CHANNEL_MIXER)}


@dataclass(frozen=True)
class Run:
    """One model, one seed, one setting."""

    task: Choice
    task_label: str
    mixers: tuple[Choice, ...]
    """The layers take them in turn."""
    architecture: str
    """The label that curves carry."""
    channel_mixer: Choice | None
    width: int
    layers: int
    train: TrainSettings
    seed: int
    setting: str = ""
    """Swept values of which the best is shown, as "lr=0.003"."""
    variant: str = ""
    """Other swept values, but for the seed."""
    tie_embeddings: bool = False
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    """What it is tested on; no part of its id."""

    @cached_property
    def id(self) -> str:
        """A hash of everything that determines the result, and of nothing else."""
        return _hash(self._determinants())

    @cached_property
    def shape(self) -> str:
        """Runs of the same shape can be trained as one stacked program."""
        determinants = self._determinants()
        del determinants["seed"]
        train = determinants["train"]
        for name in STACKABLE:
            del train[name]
        for name in STACKABLE_OF_OPTIMIZER:
            del train["optimizer"][name]
        return _hash(determinants)

    def _determinants(self) -> dict[str, Any]:
        return {
            "version": RESULT_VERSION,
            "task": self.task.identity(),
            "mixers": [each.identity() for each in self.mixers],
            "channel_mixer": self.channel_mixer and self.channel_mixer.identity(),
            "width": self.width,
            "layers": self.layers,
            "tie_embeddings": self.tie_embeddings,
            "train": self.train.model_dump(),
            "seed": self.seed,
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data that tells all about the run, its id included."""
        train = self.train.model_dump() | {"steps": self.train.steps}
        evaluate = self.evaluate.model_dump()
        return {"id": self.id} | asdict(self) | {"train": train, "evaluate": evaluate}

    def make_task(self) -> Task:
        return self.task.plugin(**self.task.options)

    def make_model(self) -> Model:
        """The run's model with its initial parameters, drawn from its seed alone."""
        config = ModelConfig(
            vocab_size=self.make_task().vocab_size,
            width=self.width,
            layers=self.layers,
            mixers=[partial(each.plugin, **each.options) for each in self.mixers],
            channel_mixer=self.channel_mixer
            and partial(self.channel_mixer.plugin, **self.channel_mixer.options),
            tie_embeddings=self.tie_embeddings,
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return build_model(config)


def populations(runs: Iterable[Run]) -> list[list[Run]]:
    """Groups runs by shape; a run asked for twice is there once."""
    groups: dict[str, dict[str, Run]] = {}
    for run in runs:
        groups.setdefault(run.shape, {}).setdefault(run.id, run)
    return [list(group.values()) for group in groups.values()]


def _hash(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
