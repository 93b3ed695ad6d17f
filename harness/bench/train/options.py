"""What the command was asked for, checked."""

from collections.abc import Sequence
from typing import get_args

from lengthwise.harness.bench.train.report import Asked
from lengthwise.harness.bench.train.settings import ARCHITECTURES, SETTINGS
from lengthwise.harness.options import check_known, chosen_devices
from lengthwise.harness.settings import Precision


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
    check_known("architecture", architectures, ARCHITECTURES)
    check_known("precision", precisions, get_args(Precision))
    numbers = [str(n) for n in range(1, len(SETTINGS) + 1)]
    check_known("setting", [str(n) for n in settings], numbers)
    return Asked(
        device=chosen_devices(device)[0],
        settings=[SETTINGS[n - 1] for n in settings] or SETTINGS,
        architectures=architectures or list(ARCHITECTURES),
        members=members,
        precisions=[each for each in get_args(Precision) if each in precisions],
        seconds=seconds,
        profile=profile,
    )
