"""What training is timed on: recall as Zoology trains it, at two lengths and two widths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lengthwise.harness.plan import Choice, Run
from lengthwise.harness.settings import OptimizerSettings, Precision, TrainSettings

HEAD_SIZE = 64
ARCHITECTURES: dict[str, Callable[[int], dict[str, Any]]] = {
    "attention": lambda heads: {"heads": heads, "positions": "learned"},
    "linear_attention": lambda heads: {"heads": heads},
    "mamba": lambda _heads: {},
    "gated_delta_net": lambda heads: {"heads": heads},
}
"""What is timed, with its options for a number of heads."""


@dataclass(frozen=True)
class Setting:
    """MQAR with a vocabulary of 8192 for two layers without channel mixers."""

    length: int
    pairs: int
    width: int
    batch_size: int

    def __str__(self) -> str:
        return f"{self.length} tokens, {self.pairs} pairs, width {self.width}"


SETTINGS = (
    Setting(64, 4, 64, 512),
    Setting(64, 4, 256, 512),
    Setting(256, 16, 64, 256),
    Setting(256, 16, 256, 256),
)


def runs(setting: Setting, architecture: str, precision: Precision, members: int) -> list[Run]:
    """A population that differs in its learning rates, from 1e-4 to 1e-2, and shares its data."""
    rates = [10 ** (-4 + 2 * n / max(1, members - 1)) for n in range(members)]
    return [_run(setting, architecture, precision, lr) for lr in rates]


def _run(setting: Setting, architecture: str, precision: Precision, lr: float) -> Run:
    heads = max(1, setting.width // HEAD_SIZE)
    recall = {"vocab_size": 8192, "num_pairs": setting.pairs, "random_filler": False}
    train = TrainSettings(
        length=setting.length,
        batch_size=setting.batch_size,
        examples=100_000,
        epochs=64,
        optimizer=OptimizerSettings(lr=lr, weight_decay=0.1),
        precision=precision,
        schedule="cosine_by_epoch",
        warmup_steps=0,
        clip=None,
    )
    return Run(
        task=Choice("task", "mqar", recall),
        task_label="mqar",
        mixers=(Choice("mixer", architecture, ARCHITECTURES[architecture](heads)),),
        architecture=architecture,
        channel_mixer=None,
        width=setting.width,
        layers=2,
        train=train,
        seed=123,
    )
