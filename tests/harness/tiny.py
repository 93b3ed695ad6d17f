"""Suites that train in a second, and the command line called from inside."""

import sys
from pathlib import Path

import pytest
import torch
from lengthwise.harness import cli
from lengthwise.harness.plan import Run
from lengthwise.harness.suite import load_suite

TINY = """\
name: tiny
task: {name: mqar, vocab_size: 16, num_pairs: 2, gap: uniform, random_filler: false}
architectures:
  - attention: {heads: 1}
  - gated_delta_net: {heads: 1}
model: {width: 8, layers: 1}
train:
  length: 16
  batch_size: 8
  examples: 96
  epochs: 2
  stop_at: null
  validate_every: 8
  validation_examples: 16
  warmup_steps: 2
  optimizer: {lr: 1e-2}
evaluate: {lengths: [16, 32], examples: 20}
sweep: {seed: [0, 1, 2]}
"""


def write(folder: Path, text: str = TINY, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def runs(folder: Path, *overrides: str) -> list[Run]:
    return list(load_suite(write(folder), overrides).runs)


def lengthwise(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Calls the command line; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["lengthwise", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


def equal_weights(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(
        torch.equal(left[name], right[name]) for name in left
    )
