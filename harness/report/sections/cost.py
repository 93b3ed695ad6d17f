"""Cost versus length: seconds and state bytes with their exponents, and what training took."""

from collections.abc import Callable, Iterable
from functools import partial

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
from lengthwise.harness.report.units import NOTHING, count, seconds
from lengthwise.harness.statistics import PowerLaw, power_law, upper_half
from matplotlib.axes import Axes

ORDER = 60
TITLE = "Cost versus length"

Measure = Callable[[Curve], Floats]
SetAxis = Callable[[Axes, Side, Iterable[float], str], None]


def build(results: Results) -> Section | None:
    lines = measured_curves(results)
    if not lines:
        return None
    styles = styles_of(results)
    charts = [
        chart
        for chart in (
            _chart(
                "evaluation-seconds-versus-length",
                "Seconds of one example's forward pass against context length, the median over "
                "seeds, both axes logarithmic. Times hold for the device named under Provenance.",
                lines,
                styles,
                lambda curve: curve.seconds,
                partial(_draw, set_axis=seconds_axis, label="seconds per example"),
            ),
            _chart(
                "state-bytes-versus-length",
                "Bytes that decoding must carry against context length, both axes logarithmic.",
                lines,
                styles,
                lambda curve: curve.state_bytes,
                partial(_draw, set_axis=bytes_axis, label="state carried by decoding"),
            ),
        )
        if chart is not None
    ]
    return Section(charts=charts, tables=[_exponents(lines), _training(results)])


def fitted(curve: Curve, costs: Floats) -> PowerLaw:
    """The exponent over the upper half of the lengths that have a cost."""
    there = costs > 0
    lengths, amounts = curve.lengths[there], costs[there]
    upper = upper_half(lengths)
    return power_law(lengths[upper], amounts[upper])


def exponent(fit: PowerLaw) -> str:
    """The exponent with its standard error.

    >>> exponent(PowerLaw(1.938, 0.021, 1.0, 3)), exponent(PowerLaw(0.0, float("nan"), 1.0, 2))
    ('1.94 ± 0.02', '0.00')
    """
    if fit.exponent != fit.exponent:
        return NOTHING
    value = f"{fit.exponent + 0.0:.2f}".replace("-0.00", "0.00").replace("-", "−")
    known = fit.standard_error == fit.standard_error
    return f"{value} ± {fit.standard_error:.2f}" if known else value


def _chart(
    name: str,
    caption: str,
    lines: tuple[Curve, ...],
    styles: Styles,
    measure: Measure,
    draw: Callable[..., None],
) -> Chart | None:
    there = tuple(curve for curve in lines if (measure(curve) > 0).any())
    if not there:
        return None
    return Chart(
        name=name,
        caption=caption,
        panels=[
            Panel(task, partial(draw, curves=of_task, styles=styles, measure=measure))
            for task, of_task in by_task(there).items()
        ],
        legend=legend_of(there, styles),
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


def _exponents(lines: tuple[Curve, ...]) -> Table:
    shown, data = [], []
    for curve in lines:
        name = {"task": curve.task, "architecture": curve.architecture, "variant": curve.variant}
        time, state = fitted(curve, curve.seconds), fitted(curve, curve.state_bytes)
        upper = [int(length) for length in curve.lengths[upper_half(curve.lengths)]]
        shown.append(
            {
                **name,
                "time exponent": exponent(time),
                "state exponent": exponent(state),
                "fitted over": f"{count(upper[0])} to {count(upper[-1])}",
            }
        )
        data.append(
            {
                **name,
                "time_exponent": time.exponent,
                "time_standard_error": time.standard_error,
                "state_exponent": state.exponent,
                "state_standard_error": state.standard_error,
                "shortest_fitted": upper[0],
                "longest_fitted": upper[-1],
                "points": time.points,
            }
        )
    frame = pd.DataFrame(shown)
    return Table(
        name="cost-exponents",
        caption=(
            "The exponent p of cost ∝ lengthᵖ with its standard error: least squares on "
            "logarithms over the upper half of the lengths. 1 is linear, 2 quadratic, 0 constant."
        ),
        shown=frame.loc[:, (frame != "").any()],
        data=pd.DataFrame(data),
    )


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
