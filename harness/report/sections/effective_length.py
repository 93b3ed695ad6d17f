"""Effective length: how far each architecture keeps its capability, as a table."""

import numpy as np
import pandas as pd
from lengthwise.harness.report.curves import Curve, curves
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Section, Table
from lengthwise.harness.report.summary import seed_range
from lengthwise.harness.report.units import NOTHING, count, multiple
from lengthwise.harness.statistics import THRESHOLD

ORDER = 20
TITLE = "Effective length"


def build(results: Results) -> Section | None:
    lines = curves(results)
    if not any(curve.seeds for curve in lines):
        return None
    shown = pd.DataFrame([_shown(curve) for curve in lines])
    return Section(
        tables=[
            Table(
                name="effective-length",
                caption=(
                    "The longest evaluated length, in tokens, up to which mean capability stays "
                    f"at or above {THRESHOLD:g} with every shorter length passing too. "
                    "“≥” marks one that holds at the longest length evaluated, “<” one that "
                    "fails at the shortest."
                ),
                shown=shown.loc[:, (shown != "").any()],
                data=pd.DataFrame([_data(curve) for curve in lines]),
            )
        ]
    )


def _shown(curve: Curve) -> dict[str, str]:
    reached = curve.effective if curve.seeds else None
    times = multiple(reached.value / curve.trained_length) if reached else ""
    return {
        "task": curve.task,
        "architecture": curve.architecture,
        "variant": curve.variant,
        "trained at": count(curve.trained_length),
        "effective length": str(reached) if reached else NOTHING,
        "× trained": f"{reached.bound} {times}".strip() if reached else NOTHING,
        "per seed": seed_range(curve),
        "seeds": f"{curve.seeds} of {curve.planned}",
    }


def _data(curve: Curve) -> dict[str, object]:
    reached = curve.effective if curve.seeds else None
    each = [seed.length for seed in curve.effective_by_seed]
    return {
        "task": curve.task,
        "architecture": curve.architecture,
        "variant": curve.variant,
        "setting": curve.setting,
        "trained_length": curve.trained_length,
        "bound": reached.bound if reached else "",
        "effective_length": reached.value if reached else np.nan,
        "multiple": reached.value / curve.trained_length if reached else np.nan,
        "least_of_seeds": min(each) if each else np.nan,
        "greatest_of_seeds": max(each) if each else np.nan,
        "seeds": curve.seeds,
        "planned_seeds": curve.planned,
    }
