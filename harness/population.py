"""Models of one shape, stacked and trained as one program, each with its own data and settings."""

import math
from collections.abc import Iterable, Sequence

import torch
from lengthwise.architectures.model import Model
from lengthwise.harness.examples import TrainingExamples, of_members, sample
from lengthwise.harness.graph import Captured
from lengthwise.harness.pieces import Pieces
from lengthwise.harness.plan import Run
from lengthwise.harness.precision import arithmetic, float32_products
from lengthwise.harness.schedule import learning_rate_factors
from lengthwise.kernels import adamw_
from lengthwise.tasks.task import Batch, Split
from torch import Tensor, nn
from torch.func import functional_call, vmap

LOGGED = 256
"""Steps whose losses stay on the device until they are asked for."""
SETTINGS = ("lr", "weight_decay", "beta1", "beta2", "clip")


class _Losses(nn.Module):
    """A model that is called for its losses: functional_call calls `forward` alone."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, positions: Tensor, answers: Tensor) -> Tensor:
        return self.model.losses(tokens, positions, answers)


class Population:
    """P members: all their parameters as the rows of one matrix, so that AdamW is one call.

    Row p never meets another row: a member's result is that of the same run trained alone, to
    rounding, and a member that diverges spoils no other. Everything that a step reads and writes
    stays on the device, so that a GPU replays whole steps without its host.
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
        self.pieces = Pieces(len(runs), self.sizes, self.device)
        self.first_moment = torch.zeros_like(self.flat, requires_grad=False)
        self.second_moment = torch.zeros_like(self.flat, requires_grad=False)
        self.settings = {
            name: torch.tensor(
                [_setting(run, name) for run in runs], dtype=torch.float64, device=self.device
            )
            for name in SETTINGS
            if name != "clip" or any(run.train.clip is not None for run in runs)
        }
        """What AdamW takes of each member [P], in float64; no clip where nobody is clipped."""
        self.factors = _factors(runs).to(self.device)
        """Of the learning rate, by step and member [steps, P]."""
        self.step = 0
        self.count = torch.zeros(1, dtype=torch.int64, device=self.device)
        """The step, where a graph can read it."""
        self.log = self.flat.new_zeros(LOGGED, len(runs), requires_grad=False)
        """The losses of the last steps, in a ring."""
        self.taken = 0
        """The step up to which losses were taken from it."""
        seeds = list(dict.fromkeys(run.seed for run in runs))
        self.seeds = seeds
        self.which = torch.tensor([seeds.index(run.seed) for run in runs], device=self.device)
        self.examples = TrainingExamples(self.task, seeds, runs[0].train, self.device)
        self.advancing = Captured(self._advance, self.device)

    def _sizes(self) -> Iterable[tuple[str, int]]:
        return zip(self.shapes, self.sizes, strict=True)

    def batch(self, split: Split, start: int, count: int, length: int) -> Batch:
        """Each member's own examples, joined along the batch: [P · count, …]."""
        made = sample(self.task, self.seeds, split, start, count, length, self.device)
        return of_members(made, self.which, torch.arange(count, device=self.device))

    def _call(self, module: nn.Module, prefix: str, *inputs: Tensor) -> Tensor:
        """The module's output for every member, each input [P · B, …] parted among them."""
        members = len(self.runs)
        state = {
            name: piece.view(members, *shape)
            for (name, shape), piece in zip(
                self.shapes.items(), self.pieces.cut(self.flat), strict=True
            )
        } | self.fixed

        def forward(state: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            output = functional_call(module, state, inputs)
            return output if isinstance(output, Tensor) else output[0]

        named = {prefix + name: each for name, each in state.items()}
        with arithmetic(self.runs[0].train.precision, self.device):
            return vmap(forward)(named, *(each.unflatten(0, (members, -1)) for each in inputs))

    def logits(self, batch: Batch) -> Tensor:
        """[P, B, A, vocab_size] at the answer positions."""
        return self._call(self.model, "", batch.tokens, batch.positions)

    def losses(self, batch: Batch) -> Tensor:
        """Each member's mean cross-entropy over its answers [P], in nats."""
        inputs = (batch.tokens, batch.positions, batch.answers)
        each = self._call(_Losses(self.model), "model.", *inputs)
        mask = batch.mask.view_as(each)
        return (each * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)

    def hits(self, batch: Batch) -> Tensor:
        """[P, B, A]: whether the most likely token is the answer; never so if it is not finite."""
        with torch.no_grad():
            logits = self.logits(batch)
            guesses = torch.where(logits.isfinite().all(-1), logits.argmax(-1), -1)
            return guesses == batch.answers.view_as(guesses)

    def learn(self, batch: Batch) -> Tensor:
        """One step of AdamW on every member; returns the losses [P] before it."""
        losses = self.losses(batch)
        with float32_products(self.runs[0].train.precision):
            (gradient,) = torch.autograd.grad(losses.sum(), self.flat)
        factor = self.factors.index_select(0, self.count)[0]
        settings = self.settings
        with torch.no_grad():
            adamw_(
                self.flat,
                gradient,
                self.first_moment,
                self.second_moment,
                decayed=self.decayed,
                lr=factor * settings["lr"],
                weight_decay=settings["weight_decay"],
                beta1=settings["beta1"],
                beta2=settings["beta2"],
                clip=settings.get("clip"),
                step=self.count[0],
            )
        self.count += 1
        return losses.detach()

    def advance(self) -> None:
        """One step on the examples that are due; its losses go to the log.

        Raises:
            RuntimeError: the log is full.
        """
        if self.must_take_losses:
            raise RuntimeError(f"the losses of {LOGGED} steps wait to be taken")
        self.examples.prepare(self.step)
        self.advancing()
        self.step += 1

    def _advance(self) -> Tensor:
        row = self.count % LOGGED
        losses = self.learn(self.examples.batch(self.count, self.which))
        return self.log.index_copy_(0, row, losses[None])

    @property
    def must_take_losses(self) -> bool:
        return self.step - self.taken == LOGGED

    def take_losses(self) -> list[list[float]]:
        """Each member's losses since the last call, which waits for the device."""
        rows = torch.arange(self.taken, self.step, device=self.device) % LOGGED
        self.taken = self.step
        return self.log[rows].T.tolist()

    def keep(self, members: Sequence[int]) -> None:
        """Drops all members but these, in this order."""
        self.runs = [self.runs[member] for member in members]
        index = torch.tensor(members, dtype=torch.long, device=self.device)
        self.flat = self.flat.detach()[index].requires_grad_()
        self.pieces = Pieces(len(members), self.sizes, self.device)
        self.first_moment = self.first_moment[index]
        self.second_moment = self.second_moment[index]
        self.settings = {name: each[index] for name, each in self.settings.items()}
        self.factors, self.log = self.factors[:, index], self.log[:, index]
        self.fixed = {name: each[index] for name, each in self.fixed.items()}
        self.which = self.which[index]
        self.advancing.forget()

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
        self.step = self.taken = step
        self.count.fill_(step)

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


def _setting(run: Run, name: str) -> float:
    """What AdamW is told of a run; no clipping is a norm without a limit."""
    if name == "clip":
        return math.inf if run.train.clip is None else run.train.clip
    return getattr(run.train.optimizer, name)


def _factors(runs: Sequence[Run]) -> Tensor:
    """The learning rates of every step and member over their peaks [steps, P]."""
    laws = {(run.train.schedule, run.train.warmup_steps): run.train for run in runs}
    factors = {law: torch.tensor(learning_rate_factors(train)) for law, train in laws.items()}
    return torch.stack([factors[run.train.schedule, run.train.warmup_steps] for run in runs], 1)
