"""Cost versus length: seconds and state bytes with their exponents, and what training took."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd
from lengthwise.harness.report.axes import (
    Side,
    bytes_axis,
    length_axis,
    mark_trained,
    seconds_axis,
)
from lengthwise.harness.report.curves import Curve, Floats, by_task, measured_curves
from lengthwise.harness.report.results import Results
from lengthwise.harness.report.section import Chart, Panel, Section, Table, table
from lengthwise.harness.report.selection import LINE, chosen_runs
from lengthwise.harness.report.styling import Styles, legend_of, styles_of
from lengthwise.harness.report.summary import status_counts
from lengthwise.harness.report.units import NOTHING, count, plural, seconds
from lengthwise.harness.statistics import PowerLaw, power_law, upper_half
from matplotlib.axes import Axes

ORDER = 60
TITLE = "Cost versus length"
ALL_TASKS = "all tasks"
BESIDE = (
    "Populations of runs work beside each other on the machine named under Provenance, so times "
    "compare architectures there and say little of another machine, or of one left idle."
)

Measure = Callable[[Curve], Floats]
SetAxis = Callable[[Axes, Side, Iterable[float], str], None]


def build(results: Results) -> Section | None:
    lines = measured_curves(results)
    if not lines:
        return None
    styles = styles_of(results)
    states = _once(lines)
    one_for_all = "" if states is lines else " It is the same for every task."
    charts = [
        _chart(
            "evaluation-seconds-versus-length",
            f"Seconds of one example's forward pass against context length, the median over "
            f"seeds, both axes logarithmic. {BESIDE}",
            by_task(lines),
            styles,
            lambda curve: curve.seconds,
            partial(_draw, set_axis=seconds_axis, label="seconds per example"),
        ),
        _chart(
            "state-bytes-versus-length",
            "Bytes that decoding must carry against context length, both axes logarithmic."
            + one_for_all,
            by_task(lines) if states is lines else {ALL_TASKS: list(states)},
            styles,
            lambda curve: curve.state_bytes,
            partial(_draw, set_axis=bytes_axis, label="state carried by decoding"),
        ),
    ]
    tables = [
        _exponents(
            "time-exponents",
            f"The exponent p of seconds ∝ lengthᵖ with its standard error: {_fit(lines)} {BESIDE}",
            lines,
            lambda curve: curve.seconds,
        ),
        _exponents(
            "state-exponents",
            f"The exponent p of state bytes ∝ lengthᵖ, from exact counts: {_fit(states)}"
            f"{one_for_all}",
            states,
            lambda curve: curve.state_bytes,
            exact=True,
            tasks=states is lines,
        ),
        _training(results),
    ]
    return Section(
        charts=[chart for chart in charts if chart is not None],
        tables=[table for table in tables if table is not None],
    )


def fitted(curve: Curve, costs: Floats) -> PowerLaw:
    """The exponent over the upper half of the lengths that have a cost."""
    there = costs > 0
    lengths, amounts = curve.lengths[there], costs[there]
    upper = upper_half(lengths)
    return power_law(lengths[upper], amounts[upper])


def exponent(fit: PowerLaw, *, exact: bool = False) -> str:
    """The exponent with its standard error, without one where the costs are exact.

    >>> exponent(PowerLaw(1.938, 0.021, 1.0, 3)), exponent(PowerLaw(0.0, float("nan"), 1.0, 2))
    ('1.94 ± 0.02', '0.00')
    """
    if fit.exponent != fit.exponent:
        return NOTHING
    value = f"{fit.exponent + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")
    known = not exact and fit.standard_error == fit.standard_error
    return f"{value} ± {fit.standard_error:.2f}" if known else value


def _chart(
    name: str,
    caption: str,
    panels: Mapping[str, list[Curve]],
    styles: Styles,
    measure: Measure,
    draw: Callable[..., None],
) -> Chart | None:
    costly = {
        title: [curve for curve in lines if (measure(curve) > 0).any()]
        for title, lines in panels.items()
    }
    costly = {title: lines for title, lines in costly.items() if lines}
    if not costly:
        return None
    return Chart(
        name=name,
        caption=caption,
        panels=[
            Panel(title, partial(draw, curves=lines, styles=styles, measure=measure))
            for title, lines in costly.items()
        ],
        legend=legend_of((curve for lines in costly.values() for curve in lines), styles),
    )


def _draw(
    axes: Axes,
    curves: list[Curve],
    styles: Styles,
    measure: Measure,
    set_axis: SetAxis,
    label: str,
) -> None:
    for curve in reversed(curves):
        there = measure(curve) > 0
        style = styles[curve.architecture, curve.variant]
        axes.plot(curve.lengths[there], measure(curve)[there], clip_on=False, **style.drawn)
    trained = {curve.trained_length for curve in curves}
    length_axis(axes, [*(int(n) for curve in curves for n in curve.lengths), *trained])
    set_axis(axes, "y", [float(cost) for curve in curves for cost in measure(curve)], label)
    mark_trained(axes, trained)


def _once(lines: tuple[Curve, ...]) -> tuple[Curve, ...]:
    """One line for each architecture and variant where the state is the same in all tasks.

    The very same lines where it is not, or where there is one task alone.
    """
    kept: dict[str, Curve] = {}
    for curve in lines:
        first = kept.setdefault(curve.label, curve)
        same = (
            np.array_equal(first.lengths, curve.lengths)
            and np.array_equal(first.state_bytes, curve.state_bytes)
            and first.trained_length == curve.trained_length
        )
        if not same:
            return lines
    return tuple(kept.values()) if len(kept) < len(lines) else lines


def _fit(lines: Iterable[Curve]) -> str:
    """How exponents are fitted, and on how many lengths."""
    numbers = sorted({len(curve.lengths[upper_half(curve.lengths)]) for curve in lines})
    on = plural(numbers[-1], "length")
    on = on if len(numbers) == 1 else f"{numbers[0]} to {on}"
    return (
        f"least squares on logarithms, on {on}, the upper half of those evaluated but at least "
        "three if there are. 1 is linear, 2 quadratic, 0 constant."
    )


def _exponents(
    name: str,
    caption: str,
    lines: tuple[Curve, ...],
    measure: Measure,
    *,
    exact: bool = False,
    tasks: bool = True,
) -> Table | None:
    """A row a line, with its task unless it stands for all of them."""
    shown, data = [], []
    for curve in lines:
        costs = measure(curve)
        if not (costs > 0).any():
            continue
        fit, lengths = fitted(curve, costs), curve.lengths[costs > 0]
        upper = [int(length) for length in lengths[upper_half(lengths)]]
        line = {
            "task": curve.task if tasks else "",
            "architecture": curve.architecture,
            "variant": curve.variant,
        }
        shown.append(
            {
                **line,
                "exponent": exponent(fit, exact=exact),
                "lengths": count(fit.points),
                "fitted over": f"{count(upper[0])} to {count(upper[-1])}",
            }
        )
        data.append(
            {
                **line,
                "exponent": fit.exponent,
                "standard_error": fit.standard_error,
                "shortest_fitted": upper[0],
                "longest_fitted": upper[-1],
                "lengths": fit.points,
            }
        )
    if not shown:
        return None
    frame = pd.DataFrame(shown)
    return Table(name, caption, frame.loc[:, (frame != "").any()], pd.DataFrame(data))


def _training(results: Results) -> Table:
    runs = chosen_runs(results.runs)
    trained = runs[runs["steps"] > 0]
    rows = [
        {
            **dict(zip(LINE, (str(part) for part in key), strict=True)),  # pyright: ignore
            "parameters": of_line["parameters"].max(),
            "seconds": of_line["seconds"].mean(),
            "steps": of_line["steps"].mean(),
            "planned_steps": of_line["planned_steps"].max(),
            "seconds_per_step": of_line["seconds"].sum() / of_line["steps"].sum(),
            "runs": status_counts(of_line.loc[:, "status"]),
        }
        for key, of_line in trained.groupby(LINE, sort=False)
    ]
    made = table(
        "training-cost",
        "What training took: means over the seeds of the chosen setting. A run that is solved "
        "stopped before its planned steps.",
        pd.DataFrame(rows),
        {
            **dict.fromkeys(("parameters", "steps", "planned_steps"), count),
            **dict.fromkeys(("seconds", "seconds_per_step"), seconds),
        },
    )
    names = {
        "seconds": "training time",
        "planned_steps": "planned steps",
        "seconds_per_step": "time per step",
    }
    return Table(made.name, made.caption, made.shown.rename(columns=names), made.data)
