"""The laws of mixers and tasks, as checks that anybody's plug-in can be put through."""

import itertools
from collections.abc import Callable, Iterator

import torch
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.tasks.task import Batch, Split, Task
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

LENGTH = 37
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
CUTS = ([1], [36], [5, 6, 30], list(range(1, LENGTH)))


class LawBrokenError(AssertionError):
    """A plug-in breaks a law; the message says how."""


MakeMixer = Callable[[], Mixer]


def any_cut_gives_the_same_output(make: MakeMixer, width: int) -> None:
    """The output of pieces, the state carried across each cut, is that of the whole."""
    mixer, x = _made(make), _inputs(2, width)
    whole, _ = mixer(x)
    for cuts in CUTS:
        state: State | None = None
        parts: list[Tensor] = []
        for begin, end in itertools.pairwise([0, *cuts, LENGTH]):
            part, state = mixer(x[:, begin:end], state)
            parts.append(part)
        _expect_close(torch.cat(parts, 1), whole, f"cut at {cuts}", 1e-9)


def no_output_depends_on_a_later_token(make: MakeMixer, width: int) -> None:
    """Changing a token leaves every earlier output as it is."""
    mixer, x = _made(make), _inputs(1, width)
    changed = torch.cat([x[:, :20], x[:, 20:] + 1], 1)
    _expect_close(mixer(changed)[0][:, :20], mixer(x)[0][:, :20], "tokens from 20 on changed", 1e-9)


def sequences_of_a_batch_do_not_meet(make: MakeMixer, width: int) -> None:
    """A sequence's output is the same alone and in a batch."""
    mixer, x = _made(make), _inputs(3, width)
    for row in range(3):
        alone = mixer(x[row : row + 1])[0]
        _expect_close(mixer(x)[0][row : row + 1], alone, f"sequence {row} alone", 1e-9)


def state_bytes_are_the_bytes_of_the_state(make: MakeMixer, width: int) -> None:
    """`state_bytes(length)` is what the state of one float32 sequence takes."""
    mixer = make()
    for length in (1, LENGTH):
        _, state = mixer(_inputs(1, width)[:, :length].float())
        found = sum(each.numel() * each.element_size() for each in state)
        if found != mixer.state_bytes(length):
            raise LawBrokenError(
                f"the state after {length} tokens has {found} bytes, "
                f"state_bytes says {mixer.state_bytes(length)}"
            )


def every_parameter_gets_a_finite_gradient(make: MakeMixer, width: int) -> None:
    """No trained parameter is cut off from the output, or gets NaN or infinity."""
    mixer = _made(make)
    mixer(_inputs(4, width))[0].square().sum().backward()
    for name, parameter in mixer.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None or not parameter.grad.any():
            raise LawBrokenError(f"{name} gets no gradient")
        if not parameter.grad.isfinite().all():
            raise LawBrokenError(f"the gradient of {name} is not finite")


def stacked_members_equal_each_alone(make: MakeMixer, width: int) -> None:
    """Under vmap, as populations are trained, each member computes what it computes alone."""
    members = [_made(make) for _ in range(3)]
    x = _inputs(6, width).unflatten(0, (3, 2))
    parameters, buffers = stack_module_state(list(members))

    def forward(state: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(members[0], state, (x,))[0]

    stacked = vmap(forward)(parameters | buffers, x)
    for index, member in enumerate(members):
        _expect_close(stacked[index], member(x[index])[0], f"member {index} stacked", 1e-9)


MIXER_LAWS = (
    any_cut_gives_the_same_output,
    no_output_depends_on_a_later_token,
    sequences_of_a_batch_do_not_meet,
    state_bytes_are_the_bytes_of_the_state,
    every_parameter_gets_a_finite_gradient,
    stacked_members_equal_each_alone,
)


def an_example_depends_on_its_index_alone(task: Task, length: int) -> None:
    """Drawn in pieces, in another order, or again, example i is the same."""
    whole = _sample(task, length)
    pieces = [_sample(task, length, start=start, count=count) for start, count in ((3, 5), (0, 3))]
    for name in Batch.__dataclass_fields__:
        joined = torch.cat([getattr(pieces[1], name), getattr(pieces[0], name)])
        if not torch.equal(joined, getattr(whole, name)):
            raise LawBrokenError(
                f"{name} of examples 0 to 7 differ when drawn as 3 to 7 and 0 to 2"
            )


def seeds_and_splits_draw_different_examples(task: Task, length: int) -> None:
    """No two of train, validation, test and another seed are alike."""
    drawn = {f"split {split}": _sample(task, length, split=split) for split in SPLITS}
    drawn["seed 1"] = _sample(task, length, seed=1)
    for (one, left), (other, right) in itertools.combinations(drawn.items(), 2):
        if torch.equal(left.tokens, right.tokens):
            raise LawBrokenError(f"{one} and {other} draw the same examples")


def everything_lies_where_it_should(task: Task, length: int) -> None:
    """Shapes, token ids, positions, distances and chance are within their bounds."""
    for split in SPLITS:
        _check_batch(task, _sample(task, length, split=split), length)


def _check_batch(task: Task, batch: Batch, length: int) -> None:
    columns = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    for name, column in columns.items():
        expected = torch.bool if name == "mask" else torch.int64
        if column.dtype != expected:
            raise LawBrokenError(f"{name} are {column.dtype}, not {expected}")
        if name != "tokens" and column.shape != batch.answers.shape:
            raise LawBrokenError(f"{name} and answers have different shapes")
    for wrong, message in (
        (batch.tokens.shape != (8, length), f"tokens are {list(batch.tokens.shape)}"),
        (_outside(batch.tokens, task.vocab_size), "a token lies outside the vocabulary"),
        (_outside(batch.answers, task.vocab_size), "an answer lies outside the vocabulary"),
        (_outside(batch.positions, length), "a position lies outside the sequence"),
        (not batch.mask.any(), "no answer is asked for"),
        (bool((batch.distances < 0).any()), "a distance is negative"),
        (
            bool((batch.mask & (batch.distances > batch.positions)).any()),
            "a distance reaches back beyond the first token",
        ),
        (not 0 < task.chance(length) <= 1, f"chance is {task.chance(length)}"),
    ):
        if wrong:
            raise LawBrokenError(message)


TASK_LAWS = (
    an_example_depends_on_its_index_alone,
    seeds_and_splits_draw_different_examples,
    everything_lies_where_it_should,
)


def verdicts(laws: tuple[Callable[..., None], ...], *subject: object) -> Iterator[tuple[str, str]]:
    """(law, "" or how it is broken) for each law; an exception counts as breaking it."""
    for law in laws:
        name = law.__name__.replace("_", " ")
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                law(*subject)
        except Exception as error:
            broken = isinstance(error, LawBrokenError)
            yield name, str(error) if broken else f"{type(error).__name__}: {error}"
        else:
            yield name, ""


def _made(make: MakeMixer) -> Mixer:
    """A mixer in float64, moved off its initial values: a zero there would hide a broken law."""
    mixer = make().double()
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return mixer


def _inputs(batch: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, LENGTH, width, dtype=torch.float64, generator=generator)


def _sample(
    task: Task,
    length: int,
    *,
    seed: int = 0,
    split: Split = "train",
    start: int = 0,
    count: int = 8,
) -> Batch:
    return task.sample(seed=seed, split=split, start=start, count=count, length=length)


def _outside(ids: Tensor, size: int) -> bool:
    return bool(((ids < 0) | (ids >= size)).any())


def _expect_close(found: Tensor, expected: Tensor, what: str, tolerance: float) -> None:
    error = (found - expected).abs().max().item()
    if not error <= tolerance * max(1.0, expected.abs().max().item()):
        raise LawBrokenError(f"{what}: the output differs by {error:.3g}")
