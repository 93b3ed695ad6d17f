"""The figures of the training loop as Markdown."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from lengthwise.harness.bench.markdown import table
from lengthwise.harness.bench.train.baseline import seconds_a_step
from lengthwise.harness.bench.train.check import differences
from lengthwise.harness.bench.train.measure import Speed, speed
from lengthwise.harness.bench.train.settings import Setting, runs
from lengthwise.harness.population import Population
from lengthwise.harness.settings import Precision


@dataclass(frozen=True)
class Asked:
    """What to time."""

    device: str
    settings: Sequence[Setting]
    architectures: Sequence[str]
    members: Sequence[int]
    precisions: Sequence[Precision]
    seconds: float
    """Of training for each of three measurements of a row."""
    profile: bool
    """Whether to list the kernels of every row's step."""


HEADINGS = (
    "setting",
    "architecture",
    "precision",
    "members",
    "examples/s",
    "of the baseline",
    "step ms",
    "busy %",
    "launches",
    "TFLOP/s",
    "peak GiB",
    "first steps s",
)


def report(asked: Asked, *, check: bool) -> Iterator[str]:
    """The lines of the report, as they are known."""
    yield f"{_machine(asked.device)}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}."
    yield ""
    if check:
        yield from table(
            ("architecture", "parameters apart", "losses apart"),
            (
                (each.architecture, f"{each.parameters:.1e}", f"{each.losses:.1e}")
                for each in differences(asked.device)
            ),
        )
        yield ""
    profiles: dict[str, Speed] = {}
    yield from table(HEADINGS, _rows(asked, profiles))
    yield ""
    for title, found in profiles.items() if asked.profile else ():
        yield from _profile(title, found)


def _rows(asked: Asked, profiles: dict[str, Speed]) -> Iterator[Sequence[str]]:
    for setting in asked.settings:
        (peer,) = runs(setting, "attention", "float32", 1)
        seconds = seconds_a_step(peer, asked.device)
        usual = setting.batch_size / seconds
        yield (
            str(setting), "attention", "float32", "baseline", f"{usual:,.0f}", "1",
            f"{1e3 * seconds:.2f}", *[""] * 5,
        )  # fmt: skip
        for architecture in asked.architectures:
            for precision in asked.precisions:
                for members in asked.members:
                    found = _speed(asked, setting, architecture, precision, members)
                    title = f"{setting}, {architecture}, {precision}, {members} members"
                    profiles[title] = found
                    yield (
                        str(setting), architecture, precision, str(members),
                        f"{found.examples_per_second:,.0f}",
                        f"{found.examples_per_second / usual:.1f}", *_details(found),
                    )  # fmt: skip


def _details(found: Speed) -> tuple[str, ...]:
    return (
        f"{1e3 * found.step_seconds:.2f}",
        "" if found.busy is None else f"{100 * found.busy:.0f}",
        "" if found.launches is None else str(found.launches),
        f"{found.flops_per_second * 1e-12:.1f}",
        "" if found.peak_bytes is None else f"{found.peak_bytes / 2**30:.1f}",
        f"{found.first_seconds:.1f}",
    )


def _speed(
    asked: Asked, setting: Setting, architecture: str, precision: Precision, members: int
) -> Speed:
    if asked.device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(asked.device)
    begin = time.perf_counter()
    population = Population(runs(setting, architecture, precision, members), asked.device)
    return speed(population, begin, asked.seconds)


def _profile(title: str, found: Speed, longest: int = 24) -> Iterator[str]:
    """Kernel by kernel, where the time of a step goes."""
    if not found.kernels:
        return
    total = sum(found.kernels.values())
    yield f"{title}: {1e3 * total:.2f} ms of kernels a step."
    yield ""
    yield from table(
        ("kernel", "ms", "%"),
        (
            (f"`{name[:90]}`", f"{1e3 * seconds:.3f}", f"{100 * seconds / total:.0f}")
            for name, seconds in list(found.kernels.items())[:longest]
        ),
    )
    yield ""


def _machine(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device
