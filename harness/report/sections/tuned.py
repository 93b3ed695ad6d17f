"""What tuning gained: the chosen setting of each architecture against its default, on test."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, Table, table
from lengthwise.harness.report.style import COLOURS, INK, MUTED, PAPER, LineStyle
from lengthwise.harness.report.tuned_numbers import objective_axis, written
from lengthwise.harness.report.tuning import (
    DEFAULT,
    OUTCOMES,
    TUNED,
    Tuned,
    Tuning,
    described,
    interval,
    measured,
)
from lengthwise.harness.report.units import NOTHING, listed, plural
from lengthwise.harness.statistics import t_interval
from lengthwise.harness.tune.objective import Objective
from matplotlib.axes import Axes

ORDER = 5
TITLE = "Tuned against default"
SOLID = (0, ())
LEGEND = {
    "tuned, test": LineStyle(COLOURS[0], "o", SOLID),
    "default, test": LineStyle(COLOURS[1], "s", SOLID),
    "tuned, validation (what it was chosen by)": LineStyle(MUTED, "D", (0, (1, 2))),
}
Measured = Mapping[tuple[str, str], Mapping[int, float]]


def build(results: Results) -> Section | None:
    tuning = results.tuning
    if tuning is None:
        return None
    tested = [measured(results.runs, results.evaluations, each) for each in tuning.objectives]
    charts = [
        Chart(
            name=f"tuned-against-default-{objective.name.replace('_', '-')}",
            caption=(
                f"{objective.label[0].upper()}{objective.label[1:]}, the mean over tasks, of the "
                "setting that tuning chose and of the default one, on test examples over fresh "
                "seeds; bars: the 95 % t interval of the mean over seeds. Diamonds: the value on "
                "validation examples that the setting was chosen by, the best of many and so "
                "flattering."
            ),
            panels=[Panel(results.name, partial(_draw, tuning=tuning, found=found, index=index))],
            legend=LEGEND,
        )
        for index, (objective, found) in enumerate(zip(tuning.objectives, tested, strict=True))
        if any(found.values())
    ]
    tables = [
        *(
            _gains(tuning, objective, index, found)
            for index, (objective, found) in enumerate(zip(tuning.objectives, tested, strict=True))
        ),
        _settings(tuning),
        _sensitivity(tuning),
        _trials(tuning),
    ]
    return Section(intro=[_what_was_done(tuning)], charts=charts, tables=tables)


def _what_was_done(tuning: Tuning) -> str:
    pruned = "none was pruned" if tuning.pruner == "none" else f"{tuning.pruner} pruning"
    aims = " and ".join(each.label for each in tuning.objectives)
    return (
        f"Every architecture had {plural(tuning.trials, 'trial')} for {aims} on validation "
        f"examples, each trained with {plural(len(tuning.seeds), 'seed')} "
        f"({listed([str(seed) for seed in tuning.seeds])}); sampler {tuning.sampler}, {pruned}. "
        "The chosen and the default settings were then trained again with other seeds; test "
        "examples were read there alone, and only by these."
    )


def _draw(axes: Axes, tuning: Tuning, found: Measured, index: int) -> None:
    objective = tuning.objectives[index]
    labels = [each.architecture for each in tuning.architectures]
    for row, each in enumerate(tuning.architectures):
        axes.annotate(
            each.architecture,
            (0, row - 0.3),
            xycoords=("axes fraction", "data"),
            xytext=(3, 0),
            textcoords="offset points",
            fontsize=6.5,
        )
        for shift, variant, key in ((0.0, TUNED, "tuned, test"), (0.2, DEFAULT, "default, test")):
            values = [*found.get((each.architecture, variant), {}).values()]
            if values:
                _point(axes, objective, values, row + shift, LEGEND[key])
        if each.chosen:
            axes.plot(
                each.chosen.values[index],
                row,
                marker="D",
                markersize=3.2,
                markerfacecolor="none",
                markeredgecolor=INK,
                zorder=4,
                clip_on=False,
            )
    axes.set_ylim(len(labels) - 0.5, -0.6)
    axes.set_yticks([])
    objective_axis(axes, "x", objective)


def _point(
    axes: Axes, objective: Objective, values: Sequence[float], row: float, style: LineStyle
) -> None:
    axes.hlines(row, *interval(values, objective), color=style.colour, alpha=0.5, linewidth=2.2)
    axes.plot(
        float(np.mean(values)),
        row,
        marker=style.marker,
        color=style.colour,
        markeredgecolor=PAPER,
        markeredgewidth=0.4,
        clip_on=False,
        zorder=3,
    )


def _ranged(objective: Objective, values: Sequence[float]) -> str:
    if not values:
        return NOTHING
    low, high = interval(values, objective)
    mean = written(objective, float(np.mean(values)))
    if low != low:
        return f"{mean} (one seed)"
    return f"{mean} ({written(objective, low)} to {written(objective, high)})"


def _gains(tuning: Tuning, objective: Objective, index: int, found: Measured) -> Table:
    rows = []
    for each in tuning.architectures:
        tuned = found.get((each.architecture, TUNED), {})
        default = found.get((each.architecture, DEFAULT), {})
        both = [seed for seed in tuned if seed in default]
        chosen = each.chosen
        seeds = [values[index] for values in chosen.by_seed] if chosen else []
        rows.append(
            {
                "architecture": each.architecture,
                "tuned, validation": _ranged(objective, seeds),
                "tuned, test": _ranged(objective, [*tuned.values()]),
                "default, test": _ranged(objective, [*default.values()]),
                "gain": _gain(objective, [tuned[seed] - default[seed] for seed in both]),
                "seeds": str(len(both)),
            }
        )
    shown = pd.DataFrame(rows)
    return Table(
        f"tuned-against-default-{objective.name.replace('_', '-')}",
        f"{objective.label[0].upper()}{objective.label[1:]} with 95 % t intervals over seeds. The "
        "gain is tuned minus default, seed by seed: both have the same data and the same random "
        "numbers for their initial weights.",
        shown,
        _gain_numbers(tuning, objective, index, found),
    )


def _gain(objective: Objective, differences: Sequence[float]) -> str:
    if not differences:
        return NOTHING
    mean = float(np.mean(differences))
    low, high = _interval_of_gain(differences)
    if not objective.is_share:
        return f"{_signed(mean)} ({_signed(low)} to {_signed(high)})"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")


def _signed(value: float) -> str:
    return f"{value:+,.3g}".replace("-", "−")


def _interval_of_gain(differences: Sequence[float]) -> tuple[float, float]:
    """The t interval of paired differences; of equal ones the value itself."""
    if len(set(differences)) == 1 and len(differences) > 1:
        return differences[0], differences[0]
    return t_interval(differences)


def _gain_numbers(
    tuning: Tuning, objective: Objective, index: int, found: Measured
) -> pd.DataFrame:
    rows = []
    for each in tuning.architectures:
        row: dict[str, object] = {"architecture": each.architecture}
        for variant in (TUNED, DEFAULT):
            values = [*found.get((each.architecture, variant), {}).values()]
            low, high = interval(values, objective)
            mean = float(np.mean(values)) if values else float("nan")
            row |= {f"{variant} test": mean, f"{variant} low": low, f"{variant} high": high}
        row["tuned validation"] = each.chosen.values[index] if each.chosen else float("nan")
        rows.append(row)
    return pd.DataFrame(rows)


def _settings(tuning: Tuning) -> Table:
    rows = [
        {
            "architecture": each.architecture,
            "chosen setting": described(each.chosen.setting) if each.chosen else NOTHING,
            "trial": str(each.chosen.number) if each.chosen else NOTHING,
            "default setting": described(each.default),
        }
        for each in tuning.architectures
    ]
    caption = "The setting of the best trial of each architecture; best.yaml is a suite of them."
    return table("best-settings", caption, pd.DataFrame(rows), {})


def _sensitivity(tuning: Tuning) -> Table:
    objective = tuning.objectives[0]
    rows = [_robustness(each, objective) for each in tuning.architectures]
    writers = {
        name: partial(written, objective) for name in ("best trial", "median trial", "worse by")
    }
    return table(
        "tuning-robustness",
        f"How much {objective.label} hangs on tuning: the best trial, the median one of those that "
        "ran to their end, and how much worse the median is. Pruned trials would mostly be below "
        "it; trials that diverged or broke are counted beside.",
        pd.DataFrame(rows),
        writers,
    )


def _robustness(each: Tuned, objective: Objective) -> dict[str, object]:
    values = [trial.values[0] for trial in each.finished]
    best = (max if objective.direction == "maximize" else min)(values, default=float("nan"))
    median = float(np.median(values)) if values else float("nan")
    ended = [trial.ended for trial in each.trials]
    return {
        "architecture": each.architecture,
        "best trial": best,
        "median trial": median,
        "worse by": abs(best - median),
        **{how.replace("_", " "): ended.count(how) for how in OUTCOMES},
    }


def _trials(tuning: Tuning) -> Table:
    rows = [
        {
            "architecture": each.architecture,
            "trial": trial.number,
            "ended": trial.ended.replace("_", " "),
            **{
                objective.label: trial.values[n] if trial.values else float("nan")
                for n, objective in enumerate(tuning.objectives)
            },
            "setting": described(trial.setting),
            "attempts": trial.attempts,
            "error": next(iter(reversed(trial.error.strip().splitlines())), ""),
        }
        for each in tuning.architectures
        for trial in each.trials
    ]
    writers = {each.label: partial(written, each) for each in tuning.objectives}
    caption = "Every trial, its values on validation examples."
    return table("trials", caption, pd.DataFrame(rows), writers, folded=True)
