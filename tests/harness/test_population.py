"""The stacked program against runs trained alone, and against torch's own optimizer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lengthwise.harness.evaluate import TOKENS_AT_ONCE, Validation, evaluate
from lengthwise.harness.plan import Run, populations
from lengthwise.harness.population import Population
from lengthwise.harness.suite import load_suite
from lengthwise.harness.sweep import merged

from tests.harness.tiny import TINY, write

STEPS = 12
EVERY_ARCHITECTURE = """\
architectures: [attention, linear_attention, mamba, gated_delta_net]
"""


def all_runs(folder: Path) -> list[Run]:
    text = TINY.replace(
        "architectures:\n  - attention: {heads: 1}\n  - gated_delta_net: {heads: 1}\n",
        EVERY_ARCHITECTURE,
    )
    sweep = (
        "sweep={seed: [0, 1], train.optimizer.lr: [1e-2, 1e-3], "
        "train.optimizer.weight_decay: [0.0, 10.0], train.optimizer.beta1: [0.9], "
        "train.clip: [1.0]}"
    )
    return list(load_suite(write(folder, text), [sweep]).runs)


def trained(runs: list[Run], steps: int = STEPS) -> Population:
    population = Population(runs)
    for step in range(steps):
        population.learn(population.batch("train", 8 * step, 8, 16))
    return population


@pytest.mark.parametrize(
    "architecture", ["attention", "linear_attention", "mamba", "gated_delta_net"]
)
def test_a_stacked_member_equals_the_same_run_alone(tmp_path: Path, architecture: str) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == architecture]
    assert len(populations(runs)) == 1
    together = trained(runs)
    for member, run in enumerate(runs):
        alone = trained([run])
        for name, expected in alone.weights(0).items():
            torch.testing.assert_close(
                together.weights(member)[name], expected, rtol=1e-3, atol=2e-5, msg=name
            )


def test_members_may_differ_in_every_number_that_keeps_their_shapes(tmp_path: Path) -> None:
    """Warm-up, clipping, schedule and betas, each varied on its own beside the first run."""
    varied = {
        "warmup_steps": 5,
        "clip": 0.01,
        "schedule": "cosine_by_epoch",
        "optimizer": {"beta1": 0.5, "beta2": 0.9},
    }
    first = all_runs(tmp_path)[0]
    train = first.train.model_dump()
    runs = [first] + [
        replace(first, train=type(first.train)(**merged(train, {name: value})))
        for name, value in varied.items()
    ]
    (stacked,) = populations(runs)
    together = trained(stacked)
    assert len({tuple(row.tolist()) for row in together.flat.detach()}) == len(runs)
    for member, run in enumerate(runs):
        torch.testing.assert_close(
            together.flat[member], trained([run]).flat[0], rtol=1e-3, atol=2e-5
        )


@pytest.mark.parametrize("kept_bytes", [0, 5_000, 2**30])
def test_advancing_takes_the_examples_of_its_step_epoch_after_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    """However many blocks are kept on the device, and wherever it goes on."""
    monkeypatch.setattr("lengthwise.harness.examples.BLOCK", 3)
    monkeypatch.setattr("lengthwise.harness.examples.KEPT_BYTES", kept_bytes)
    run = all_runs(tmp_path)[0]
    train = run.train.model_copy(update={"examples": 64, "epochs": 3})  # 8 steps an epoch
    runs = [replace(run, train=train), replace(run, train=train, seed=9)]
    whole, expected, cut = (Population(runs) for _ in range(3))
    losses: list[list[float]] = [[], []]
    for step in range(train.steps):
        whole.advance()
        batch = expected.batch("train", step % 8 * 8, 8, train.length)
        for each, loss in zip(losses, expected.learn(batch).tolist(), strict=True):
            each.append(loss)
        if step == 10:
            cut.load(whole.step, [whole.member_state(member) for member in range(2)])
    assert whole.take_losses() == losses
    assert torch.equal(whole.flat, expected.flat)
    while cut.step < train.steps:
        cut.advance()
    assert cut.take_losses() == [each[11:] for each in losses]
    assert torch.equal(cut.flat, expected.flat)


def test_the_log_of_losses_never_overflows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lengthwise.harness.population.LOGGED", 4)
    population = Population(all_runs(tmp_path)[:1])
    for _ in range(4):
        population.advance()
    with pytest.raises(RuntimeError, match="4 steps wait"):
        population.advance()
    population.take_losses()
    population.advance()
    assert len(population.take_losses()[0]) == 1


def test_validation_is_the_accuracy_that_evaluation_finds(tmp_path: Path) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == "attention"]
    population = trained(runs)
    train = runs[0].train
    scores = evaluate(population, "validation", train.length, train.validation_examples)
    assert Validation(population)() == [score.capability for score in scores]


def test_members_of_different_seeds_differ_and_those_of_one_seed_start_alike(
    tmp_path: Path,
) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == "attention"]
    population = Population(runs)
    flat = population.flat.detach()
    same_seed = [n for n, run in enumerate(runs) if run.seed == runs[0].seed]
    assert len(same_seed) == 4
    assert torch.equal(flat[same_seed[0]], flat[same_seed[1]])
    other = next(n for n, run in enumerate(runs) if run.seed != runs[0].seed)
    assert not torch.equal(flat[0], flat[other])


def test_a_population_of_one_trains_like_torch_adamw(tmp_path: Path) -> None:
    run = all_runs(tmp_path)[0]
    population = Population([run])
    model = run.make_model()
    exempt = model.undecayed_parameters()
    named = list(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for n, p in named if n in exempt], "weight_decay": 0.0},
            {"params": [p for n, p in named if n not in exempt]},
        ],
        lr=run.train.optimizer.lr,
        weight_decay=run.train.optimizer.weight_decay,
    )
    total, warmup = run.train.steps, run.train.warmup_steps
    for step in range(STEPS):
        batch = population.batch("train", 8 * step, 8, 16)
        logits, _ = model(batch.tokens, batch.positions)
        loss = F.cross_entropy(logits.flatten(0, 1), batch.answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        cosine = 0.5 * (1 + torch.cos(torch.tensor((step - warmup) / (total - warmup)) * torch.pi))
        factor = (step + 1) / warmup if step < warmup else float(cosine)
        for group in optimizer.param_groups:
            group["lr"] = run.train.optimizer.lr * factor
        optimizer.step()
        found = population.learn(batch)
        torch.testing.assert_close(found[0], loss.detach(), rtol=1e-4, atol=1e-5)
    for name, expected in named:
        torch.testing.assert_close(
            population.weights(0)[name], expected.detach(), rtol=1e-3, atol=2e-5, msg=name
        )


def test_a_member_that_diverges_spoils_no_other(tmp_path: Path) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == "gated_delta_net"][:2]
    healthy = trained(runs, 3)
    spoiled = trained(runs, 2)
    spoiled.flat.detach()[1] = torch.inf
    losses = spoiled.learn(spoiled.batch("train", 16, 8, 16))
    assert losses[0].isfinite()
    assert not losses[1].isfinite()
    assert torch.equal(spoiled.flat[0], healthy.flat[0])


def test_dropping_members_keeps_the_others_as_they_are(tmp_path: Path) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == "mamba"]
    population = trained(runs)
    before = [population.member_state(member) for member in (2, 0)]
    population.keep([2, 0])
    assert population.runs == [runs[2], runs[0]]
    for member, state in enumerate(before):
        for name, tensor in population.member_state(member).items():
            assert torch.equal(tensor, state[name])


def test_scores_do_not_depend_on_how_much_is_computed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run for run in all_runs(tmp_path) if run.architecture == "attention"]
    population = trained(runs)
    at_once = evaluate(population, "test", 32, 20)
    monkeypatch.setitem(TOKENS_AT_ONCE, "cpu", 3 * 32 * len(runs))
    in_pieces = evaluate(population, "test", 32, 20)
    for one, other in zip(at_once, in_pieces, strict=True):
        assert (one.answers, one.correct, one.exact) == (other.answers, other.correct, other.exact)
        assert one.distances == other.distances
        assert sum(answers for answers, _ in one.distances.values()) == one.answers == 40
        assert sum(correct for _, correct in one.distances.values()) == one.correct


def test_non_finite_logits_are_never_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    population = Population(all_runs(tmp_path)[:1])
    batch = population.batch("test", 0, 10, 16)
    # The argmax of NaNs is 0, so only the answer 0 could be taken for right.
    zeros = replace(batch, answers=torch.zeros_like(batch.answers))
    monkeypatch.setattr(population, "batch", lambda *_: zeros)
    population.flat.detach().fill_(torch.nan)
    (score,) = evaluate(population, "test", 16, 10)
    assert score.correct == 0


def test_each_member_keeps_its_own_buffers_and_frozen_parameters(tmp_path: Path) -> None:
    text = TINY.replace("  - attention: {heads: 1}\n", "  - fixed_features:FixedFeatures\n")
    (tmp_path / "fixed_features.py").write_text(FIXED_FEATURES, encoding="utf-8")
    runs = [
        run for run in load_suite(write(tmp_path, text)).runs if run.architecture == "FixedFeatures"
    ]
    together = trained(runs)
    for member, run in enumerate(runs):
        fresh = dict(run.make_model().named_parameters()) | dict(run.make_model().named_buffers())
        alone, stacked = trained([run]).weights(0), together.weights(member)
        for name in ("blocks.0.mixer.features", "blocks.0.mixer.frozen"):
            assert torch.equal(stacked[name], fresh[name])
        for name, expected in alone.items():
            torch.testing.assert_close(stacked[name], expected, rtol=1e-3, atol=2e-5, msg=name)


FIXED_FEATURES = """
import torch
from lengthwise.architectures.layers import Linear
from lengthwise.architectures.mixer import Mixer

class FixedFeatures(Mixer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = Linear(width, width)
        self.register_buffer("features", torch.randn(width, width))
        self.frozen = torch.nn.Parameter(torch.randn(width), requires_grad=False)

    def forward(self, x, state=None):
        return torch.tanh(self.project(x) @ self.features + self.frozen), ()

    def state_bytes(self, length):
        return 0
"""
