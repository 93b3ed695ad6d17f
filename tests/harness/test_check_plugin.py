"""The laws catch plug-ins that break them, each by its own name, and let the others pass."""

from pathlib import Path

import pytest
from lengthwise.harness import laws

from tests.harness.tiny import lengthwise
from tests.tasks.cases import CASES, Case

ROOT = Path(__file__).parents[2]

BROKEN_MIXERS = {
    "any cut of the sequence": (
        "total.cumsum(1), (total[:, -1:],)",
        "any cut gives the same output",
    ),
    "the future": (
        "x.flip(1).cumsum(1).flip(1) * self.weight, (total[:, -1:],)",
        "no output depends on a later token",
    ),
    "the batch": (
        "total * x.mean(0, keepdim=True), (total[:, -1:],)",
        "sequences of a batch do not meet",
    ),
    "the bytes": (
        "total, (total[:, -1:], total[:, -1:])",
        "state bytes are the bytes of the state",
    ),
    "the gradient": ("x.cumsum(1), (total[:, -1:],)", "every parameter gets a finite gradient"),
    "stacking": (
        "total * (1 + 0 * float(self.weight[0])), (total[:, -1:],)",
        "stacked members equal each alone",
    ),
}

MIXER = """
from lengthwise.architectures.mixer import Mixer
import torch

class Sum(Mixer):
    '''A running sum.'''

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.weight = torch.nn.Parameter(torch.randn(width))

    def forward(self, x, state=None):
        total = (x * self.weight).cumsum(1)
        if state is not None:
            total = total + state[0]
        return RETURNED

    def state_bytes(self, length):
        return 4 * self.width
"""

TASK = """
from dataclasses import dataclass
import torch
from lengthwise.tasks.task import Batch, Task

@dataclass(frozen=True)
class Echo(Task):
    vocab_size: int = 8

    def check_length(self, length):
        pass

    def sample(self, *, seed, split, start, count, length, device="cpu"):
        index = torch.arange(start, start + count)[:, None]
        tokens = (index * 3 + torch.arange(length) + 3 * seed + len(split)) % 8
        last = torch.full((count, 1), length - 1)
        CHANGE
        return Batch(tokens, last, tokens[:, :1], torch.ones_like(last).bool(), last)

    def chance(self, length):
        return 1 / 8
"""

BROKEN_TASKS = {
    "global randomness": (
        "tokens = torch.randint(8, tokens.shape)",
        "an example depends on its index alone",
    ),
    "one seed for all": (
        "tokens = (index * 3 + torch.arange(length)) % 8",
        "seeds and splits draw different examples",
    ),
    "distances to the future": (
        "return Batch(tokens, last, tokens[:, :1], torch.ones_like(last).bool(), -last)",
        "everything lies where it should",
    ),
    "tokens beyond the vocabulary": ("tokens = tokens + 1", "everything lies where it should"),
    "answers after the end": ("last = last + 1", "everything lies where it should"),
}


def test_the_example_of_the_guide_obeys_every_law(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "docs" / "examples")
    assert lengthwise(monkeypatch, "check-plugin", "decaying_average:DecayingAverage") == 0
    assert capsys.readouterr().out.count("✓") == len(laws.MIXER_LAWS)


@pytest.mark.parametrize(("returned", "law"), BROKEN_MIXERS.values(), ids=BROKEN_MIXERS)
def test_a_mixer_that_breaks_a_law_is_told_which(
    returned: str,
    law: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    module = "mixer_" + law.replace(" ", "_")
    (tmp_path / f"{module}.py").write_text(MIXER.replace("RETURNED", returned), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert lengthwise(monkeypatch, "check-plugin", f"{module}:Sum") == 1
    assert f"✗ {law}" in capsys.readouterr().out


@pytest.mark.parametrize(("change", "law"), BROKEN_TASKS.values(), ids=BROKEN_TASKS)
def test_a_task_that_breaks_a_law_is_told_which(
    change: str,
    law: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    module = "task_" + request.node.callspec.id.replace(" ", "_")
    (tmp_path / f"{module}.py").write_text(TASK.replace("CHANGE", change), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert lengthwise(monkeypatch, "check-plugin", f"{module}:Echo") == 1
    printed = capsys.readouterr().out
    assert f"✗ {law}" in printed
    assert printed.count("✗") == 1


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_built_in_task_obeys_every_law(case: Case) -> None:
    for law, how in laws.verdicts(laws.TASK_LAWS, case.task, case.length):
        assert not how, law


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mqar", "--length", "63"], "length"),
        (["gated_delta_net", "--set", "heads=32"], "heads: 32 does not divide the width 16"),
    ],
)
def test_wrong_input_is_no_broken_law(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lengthwise(monkeypatch, "check-plugin", *arguments) == 2
    assert message in capsys.readouterr().err


def test_an_output_that_starts_at_zero_breaks_no_law(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = MIXER.replace("torch.randn(width)", "torch.zeros(width)")
    text = text.replace("RETURNED", "total, (total[:, -1:],)")
    (tmp_path / "starts_at_zero.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert lengthwise(monkeypatch, "check-plugin", "starts_at_zero:Sum") == 0


def test_an_unknown_plug_in_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, "check-plugin", "mambo") == 2
    assert "did you mean 'mamba'" in capsys.readouterr().err
