"""The training loop's figures: the report, its options, and the check that it makes."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lengthwise.harness.bench.train import check
from lengthwise.harness.bench.train.baseline import seconds_a_step
from lengthwise.harness.bench.train.measure import flops
from lengthwise.harness.bench.train.options import asked
from lengthwise.harness.bench.train.report import Asked, report
from lengthwise.harness.bench.train.settings import ARCHITECTURES, SETTINGS, Setting, runs
from lengthwise.harness.population import Population

from tests.harness.tiny import lengthwise

TINY = Setting(length=16, pairs=2, width=8, batch_size=16)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_report_has_a_row_a_population_beside_the_baseline() -> None:
    wanted = Asked(
        device="cpu",
        settings=[TINY],
        architectures=["attention", "mamba"],
        members=[1, 2],
        precisions=["float32"],
        seconds=0.01,
        profile=True,
    )
    lines = list(report(wanted, check=False))
    assert f"torch {torch.__version__}" in lines[0]
    rows = [cells(line) for line in lines if line.startswith("| 16 tokens")]
    assert [row[1:4] for row in rows] == [
        ["attention", "float32", "baseline"],
        ["attention", "float32", "1"],
        ["attention", "float32", "2"],
        ["mamba", "float32", "1"],
        ["mamba", "float32", "2"],
    ]
    for row in rows:
        rate, milliseconds = float(row[4].replace(",", "")), float(row[6])
        members = 1 if row[3] == "baseline" else int(row[3])
        assert rate == pytest.approx(
            TINY.batch_size * members / milliseconds * 1e3, rel=0.02, abs=1
        )


def test_the_check_compares_every_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "SMALL", TINY)
    monkeypatch.setattr(check, "STEPS", 3)
    found = check.differences("cpu", members=2)
    assert [each.architecture for each in found] == list(ARCHITECTURES)
    for each in found:
        assert each.parameters < 1e-3
        assert each.losses < 1e-5


def test_the_check_would_see_a_member_that_is_not_trained_as_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(check, "SMALL", TINY)
    monkeypatch.setattr(check, "STEPS", 3)
    trained = check._trained

    def disturbed(population: Population) -> list[list[float]]:
        if len(population.runs) > 1:
            population.settings["weight_decay"] += 1
        return trained(population)

    monkeypatch.setattr(check, "_trained", disturbed)
    assert all(each.parameters > 1e-3 for each in check.differences("cpu", members=2))


def test_operations_are_those_of_the_projections_and_the_head() -> None:
    population = Population(runs(TINY, "attention", "float32", 1))
    projections = 2 * (8 * 24 + 8 * 8) * 16
    assert flops(population) == 6 * TINY.batch_size * (projections + 2 * 8192 * 8)


def test_the_baseline_trains_what_the_population_trains() -> None:
    """Its loss over all positions is the population's over the answers."""
    (run,) = runs(TINY, "attention", "float32", 1)
    assert 0 < seconds_a_step(run, "cpu", steps=2, warm=1) < 60
    batch = run.make_task().sample(seed=run.seed, split="train", start=0, count=4, length=16)
    from lengthwise.harness.bench.train.baseline import _targets

    logits, _ = run.make_model()(batch.tokens)
    usual = F.cross_entropy(logits.flatten(0, 1), _targets(batch).flatten(), ignore_index=-100)
    assert math.isclose(
        float(usual.detach()), float(Population([run]).losses(batch).detach()), rel_tol=1e-5
    )


def test_members_differ_in_their_learning_rates() -> None:
    rates = [run.train.optimizer.lr for run in runs(TINY, "mamba", "bfloat16", 3)]
    assert rates == pytest.approx([1e-4, 1e-3, 1e-2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--architecture", "mambo"], "--architecture mambo: unknown (did you mean 'mamba'?)"),
        (["--precision", "bfloat"], "--precision bfloat: unknown (did you mean 'bfloat16'?)"),
        (["--setting", "5"], "--setting 5: unknown"),
        (["--device", "gpu"], "--devices gpu: cannot be used"),
    ],
)
def test_a_wrong_option_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert lengthwise(monkeypatch, "bench", "train", *map(Path, arguments)) == 2
    assert message in capsys.readouterr().err


def test_everything_is_asked_for_unless_told_otherwise() -> None:
    wanted = asked("cpu", [], [], [4], ["bfloat16"], 1.0, profile=False)
    assert wanted.architectures == list(ARCHITECTURES)
    assert wanted.settings == SETTINGS
    assert asked("cpu", [], [3], [4], ["bfloat16"], 1.0, profile=False).settings == [SETTINGS[2]]
