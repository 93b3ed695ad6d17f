"""The usual training loop, to compare with: one model, a data loader, logits at every position.

It works as Zoology's does (github.com/HazyResearch/zoology): float32, examples made on the host
beforehand and collated one by one, a loss that ignores unscored positions and is read after every
step, torch's AdamW, nothing captured.
"""

import time

import torch
import torch.nn.functional as F
from lengthwise.harness.plan import Run
from lengthwise.tasks.task import Batch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

UNSCORED = -100


def seconds_a_step(run: Run, device: str, steps: int = 30, warm: int = 5) -> float:
    """The mean over some steps, after some that do not count."""
    train = run.train
    count = (steps + warm) * train.batch_size
    batch = run.make_task().sample(
        seed=run.seed, split="train", start=0, count=count, length=train.length
    )
    loader = DataLoader(TensorDataset(batch.tokens, _targets(batch)), train.batch_size)
    model = run.make_model().to(device)
    rate, decay = train.optimizer.lr, train.optimizer.weight_decay
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    begin = 0.0
    for step, (tokens, targets) in enumerate(loader):
        if step == warm:
            begin = time.perf_counter()
        optimizer.zero_grad()
        logits, _ = model(tokens.to(device))
        loss = F.cross_entropy(
            logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=UNSCORED
        )
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - begin) / steps


def _targets(batch: Batch) -> Tensor:
    """[B, T]: the answers at their positions."""
    empty = torch.full_like(batch.tokens, UNSCORED)
    return empty.scatter(1, batch.positions, batch.answers)
