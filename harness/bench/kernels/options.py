"""What the command was asked for, checked: operators, device, threads, lengths, figure."""

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import torch
from lengthwise.harness.bench.kernels import devices
from lengthwise.harness.bench.kernels.problems import DEFINITIONS
from lengthwise.harness.bench.kernels.sweep import SHORTEST
from lengthwise.harness.options import check_known
from lengthwise.harness.report.drawing import FORMATS
from lengthwise.harness.source import InputError, nearest

FIGURE = Path("results/bench/length.svg")


def operators(asked: Sequence[str]) -> list[str]:
    """The operators asked for, each once; all of them unless some are named.

    Raises:
        InputError: there is no such operator.
    """
    check_known("operator", asked, DEFINITIONS)
    return list(dict.fromkeys(asked or DEFINITIONS))


def device(name: str) -> ModuleType:
    """The file of `devices/` that says what is measured on a device.

    Raises:
        InputError: no such device is measured.
    """
    known = [info.name for info in pkgutil.iter_modules(devices.__path__)]
    if name not in known:
        near = nearest(name, known)
        raise InputError(f"--device {name}: operators are not measured there{near}")
    return import_module(f"{devices.__name__}.{name}")


def on_gpu(given: Mapping[str, object]) -> None:
    """Refuses what only a CPU's measurement knows.

    Raises:
        InputError: one of the options was given, or there is no GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("--device cuda: torch finds no NVIDIA GPU here (see `lengthwise doctor`)")
    for option, value in given.items():
        if value:
            raise InputError(
                f"{option}: with --device cuda everything is measured once; leave it out"
            )


def on_cpu(*, check: bool) -> None:
    """Refuses what only a GPU's measurement knows.

    Raises:
        InputError: the check was asked for.
    """
    if check:
        raise InputError(
            "--check: compares on a GPU; add --device cuda (on a CPU, `make test` does)"
        )


def figure(out: Path | None, longest: int | None, *, swept: bool) -> Path:
    """Where the figure of a sweep goes.

    Raises:
        InputError: there is no sweep to draw, or the file's ending names no format.
    """
    if longest is not None and not swept:
        raise InputError(f"--longest {longest}: only a sweep has lengths; add --sweep length")
    if out is None:
        return FIGURE
    if not swept:
        raise InputError(f"--out {out}: only a sweep draws a figure; add --sweep length")
    if out.suffix.removeprefix(".") not in FORMATS:
        endings = ", ".join(f".{each}" for each in FORMATS)
        raise InputError(f"--out {out}: a figure's name ends in one of {endings}")
    return out


def lengths(longest: int) -> list[int]:
    """Powers of two up to the longest.

    >>> lengths(300)
    [64, 128, 256]
    """
    return [2**power for power in range(SHORTEST.bit_length() - 1, longest.bit_length())]


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Lets torch and our kernels use so many threads inside the block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
