"""What the command was asked for, checked."""

from collections.abc import Iterable, Sequence
from typing import get_args

from lengthwise.harness.bench.train.report import Asked
from lengthwise.harness.bench.train.settings import ARCHITECTURES, SETTINGS
from lengthwise.harness.options import chosen_devices
from lengthwise.harness.settings import Precision
from lengthwise.harness.source import InputError, nearest


def asked(
    device: str,
    architectures: Sequence[str],
    settings: Sequence[int],
    members: Sequence[int],
    precisions: Sequence[str],
    seconds: float,
    *,
    profile: bool,
) -> Asked:
    """What to time.

    Raises:
        InputError: an unknown device, architecture, setting or precision.
    """
    _check("architecture", architectures, ARCHITECTURES)
    _check("precision", precisions, get_args(Precision))
    numbers = [str(n) for n in range(1, len(SETTINGS) + 1)]
    _check("setting", [str(n) for n in settings], numbers)
    return Asked(
        device=chosen_devices(device)[0],
        settings=[SETTINGS[n - 1] for n in settings] or SETTINGS,
        architectures=architectures or list(ARCHITECTURES),
        members=members,
        precisions=[each for each in get_args(Precision) if each in precisions],
        seconds=seconds,
        profile=profile,
    )


def _check(option: str, given: Sequence[str], known: Iterable[str]) -> None:
    for each in given:
        if each not in known:
            raise InputError(f"--{option} {each}: unknown{nearest(each, known)}")
