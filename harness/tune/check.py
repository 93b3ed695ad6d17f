"""Checking a file that is a suite or a study."""

from collections.abc import Iterable
from pathlib import Path

from lengthwise.harness.source import read
from lengthwise.harness.suite import load_suite
from lengthwise.harness.tune.study import load_study


def checked(file: Path, overrides: Iterable[str]) -> str:
    """What a file would run; a file with a space is a study.

    Raises:
        InputError: anything is wrong with it.
    """
    data = read(file).data
    if isinstance(data, dict) and "space" in data:
        study = load_study(file, overrides)
        trials = len(study.contenders) * study.settings.budget.trials
        return f"{study.name}: {trials} trials"
    suite = load_suite(file, overrides)
    return f"{suite.name}: {len(suite.runs)} runs"
