"""A head that reads with the embedding's weight, in a population as in a model by itself."""

from pathlib import Path

import torch
import torch.nn.functional as F
from lengthwise.harness.population import Population

from tests.harness.tiny import runs

SETTINGS = (
    "model.tie_embeddings=true",
    "train.clip=null",
    "train.schedule=constant",
    "train.warmup_steps=0",
    "train.optimizer.weight_decay=0",
)
STEPS = 4


def test_tied_members_train_like_tied_models_under_torch_adamw(tmp_path: Path) -> None:
    members = [run for run in runs(tmp_path, *SETTINGS) if run.architecture == "attention"]
    population = Population(members)
    models = [run.make_model() for run in members]
    optimizers = [
        torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0) for model in models
    ]
    for step in range(STEPS):
        batch = population.batch("train", 8 * step, 8, 16)
        of_member = [each.chunk(len(members)) for each in (batch.tokens, batch.positions)]
        answers = batch.answers.chunk(len(members))
        for n, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            logits, _ = model(of_member[0][n], of_member[1][n])
            optimizer.zero_grad()
            F.cross_entropy(logits.flatten(0, 1), answers[n].flatten()).backward()
            optimizer.step()
        population.learn(batch)
    for n, model in enumerate(models):
        weights = population.weights(n)
        assert "head.weight" not in weights
        for name, expected in model.named_parameters():
            torch.testing.assert_close(
                weights[name], expected.detach(), rtol=1e-3, atol=2e-5, msg=name
            )


def test_a_tied_model_is_another_run_with_fewer_parameters(tmp_path: Path) -> None:
    untied, tied = (runs(tmp_path, f"model.tie_embeddings={each}")[0] for each in ("false", "true"))
    assert untied.id != tied.id
    sizes = [sum(p.numel() for p in run.make_model().parameters()) for run in (untied, tied)]
    assert sizes[0] - sizes[1] == 16 * 8


def test_weights_of_a_tied_member_go_back_into_a_population(tmp_path: Path) -> None:
    members = runs(tmp_path, *SETTINGS)[:2]
    trained, fresh = Population(members), Population(members)
    batch = trained.batch("train", 0, 8, 16)
    trained.learn(batch)
    fresh.load_weights([trained.weights(n) for n in range(len(members))])
    assert torch.equal(fresh.logits(batch), trained.logits(batch))
