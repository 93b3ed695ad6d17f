"""Models of one shape, stacked and trained as one program, each with its own data and settings."""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from lengthwise.harness.plan import Run
from lengthwise.tasks.task import Batch, Split
from torch import Tensor
from torch.func import functional_call, vmap

EPSILON = 1e-8
"""AdamW's guard against division by zero."""


class Population:
    """P members: all their parameters as the rows of one matrix, so that AdamW is a few calls.

    Row p never meets another row: a member's result is that of the same run trained alone, to
    rounding, and a member that diverges spoils no other.
    """

    def __init__(self, runs: Sequence[Run], device: torch.device | str = "cpu") -> None:
        models = [run.make_model().to(device) for run in runs]
        self.runs = list(runs)
        self.device = torch.device(device)
        self.task = runs[0].make_task()
        self.model = models[0].eval()
        named = {name: each for name, each in self.model.named_parameters() if each.requires_grad}
        self.shapes = {name: each.shape for name, each in named.items()}
        self.sizes = [each.numel() for each in named.values()]
        states = [dict(model.named_parameters()) | dict(model.named_buffers()) for model in models]
        self.fixed = {
            name: torch.stack([state[name].detach() for state in states])
            for name in states[0]
            if name not in named
        }
        """Buffers and frozen parameters [P, …]: each member its own, never trained."""
        rows = [torch.cat([state[name].detach().flatten() for name in named]) for state in states]
        self.flat = torch.stack(rows).requires_grad_()
        undecayed = self.model.undecayed_parameters()
        decayed = [
            torch.full((size,), float(name not in undecayed)) for name, size in self._sizes()
        ]
        self.decayed = torch.cat(decayed).to(self.device)
        self.first_moment = torch.zeros_like(self.flat, requires_grad=False)
        self.second_moment = torch.zeros_like(self.flat, requires_grad=False)
        self.lr = self._column([run.train.optimizer.lr for run in runs])
        self.weight_decay = self._column([run.train.optimizer.weight_decay for run in runs])
        self.step = 0

    def _sizes(self) -> Iterable[tuple[str, int]]:
        return zip(self.shapes, self.sizes, strict=True)

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=self.flat.dtype, device=self.device)[:, None]

    def batch(self, split: Split, start: int, count: int, length: int) -> Batch:
        """Each member's own examples, joined along the batch: [P · count, …]."""
        made: dict[int, Batch] = {
            seed: self.task.sample(
                seed=seed, split=split, start=start, count=count, length=length, device=self.device
            )
            for seed in dict.fromkeys(run.seed for run in self.runs)
        }
        fields = {
            name: torch.cat([getattr(made[run.seed], name) for run in self.runs])
            for name in Batch.__dataclass_fields__
        }
        return Batch(**fields)

    def logits(self, batch: Batch) -> Tensor:
        """[P, B, A, vocab_size] at the answer positions."""
        members = len(self.runs)
        pieces = self.flat.split(self.sizes, 1)
        parameters = {
            name: piece.view(members, *shape)
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }

        def forward(state: dict[str, Tensor], tokens: Tensor, positions: Tensor) -> Tensor:
            return functional_call(self.model, state, (tokens, positions))[0]

        tokens = batch.tokens.unflatten(0, (members, -1))
        positions = batch.positions.unflatten(0, (members, -1))
        return vmap(forward)(parameters | self.fixed, tokens, positions)

    def losses(self, batch: Batch) -> Tensor:
        """Each member's mean cross-entropy over its answers [P], in nats."""
        logits = self.logits(batch)
        answers = batch.answers.unflatten(0, (len(self.runs), -1))
        mask = batch.mask.unflatten(0, (len(self.runs), -1))
        each = F.cross_entropy(logits.flatten(0, 2), answers.flatten(), reduction="none")
        return (each.view_as(mask) * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)

    def train_step(self, batch: Batch) -> Tensor:
        """One step of AdamW on every member; returns the losses [P] before it."""
        losses = self.losses(batch)
        (gradient,) = torch.autograd.grad(losses.sum(), self.flat)
        self._update(gradient)
        self.step += 1
        return losses.detach()

    @torch.no_grad()
    def _update(self, gradient: Tensor) -> None:
        """AdamW (Loshchilov and Hutter, arXiv 1711.05101) after clipping each member's norm."""
        train = self.runs[0].train
        if train.clip is not None:
            norms = gradient.norm(dim=1, keepdim=True)
            gradient = gradient * (train.clip / (norms + 1e-6)).clamp(max=1.0)
        beta1, beta2 = train.optimizer.beta1, train.optimizer.beta2
        self.first_moment.lerp_(gradient, 1 - beta1)
        self.second_moment.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        count = self.step + 1
        scale = (self.second_moment / (1 - beta2**count)).sqrt_().add_(EPSILON)
        factor = learning_rate_factor(self.step, train.steps, train.warmup_steps, train.schedule)
        lr = factor * self.lr
        self.flat.mul_(1 - lr * self.weight_decay * self.decayed)
        self.flat.sub_(lr / (1 - beta1**count) * self.first_moment / scale)

    def keep(self, members: Sequence[int]) -> None:
        """Drops all members but these, in this order."""
        self.runs = [self.runs[member] for member in members]
        index = torch.tensor(members, dtype=torch.long, device=self.device)
        self.flat = self.flat.detach()[index].requires_grad_()
        self.first_moment = self.first_moment[index]
        self.second_moment = self.second_moment[index]
        self.lr, self.weight_decay = self.lr[index], self.weight_decay[index]
        self.fixed = {name: each[index] for name, each in self.fixed.items()}

    def member_state(self, member: int) -> dict[str, Tensor]:
        """What a checkpoint of one member holds, beside the step."""
        return {
            "parameters": self.flat.detach()[member],
            "first_moment": self.first_moment[member],
            "second_moment": self.second_moment[member],
        }

    def load(self, step: int, states: Sequence[dict[str, Tensor]]) -> None:
        """Goes on from `member_state` of every member at a step."""
        for name, holder in (
            ("parameters", self.flat.detach()),
            ("first_moment", self.first_moment),
            ("second_moment", self.second_moment),
        ):
            holder.copy_(torch.stack([state[name] for state in states]))
        self.step = step

    def load_weights(self, weights: Sequence[dict[str, Tensor]]) -> None:
        """Takes parameters by name for every member, as `weights` gives them."""
        rows = [torch.cat([each[name].flatten() for name in self.shapes]) for each in weights]
        self.flat.detach().copy_(torch.stack(rows))

    def weights(self, member: int) -> dict[str, Tensor]:
        """One member's parameters and buffers by name."""
        pieces = self.flat.detach()[member].split(self.sizes)
        trained = {
            name: piece.view(shape).clone()
            for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }
        return trained | {name: each[member].clone() for name, each in self.fixed.items()}


def learning_rate_factor(step: int, steps: int, warmup_steps: int, schedule: str) -> float:
    """Linear warm-up, then half a cosine down to zero at the end, or level.

    >>> [round(learning_rate_factor(step, 8, 2, "cosine"), 2) for step in (0, 1, 2, 5)]
    [0.5, 1.0, 1.0, 0.5]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    if schedule == "constant":
        return 1.0
    done = (step - warmup_steps) / max(1, steps - warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * done))
