"""Capability versus width on invented results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lengthwise.harness.report import Results, write_report
from lengthwise.harness.report.curves import curves
from lengthwise.harness.report.section import Section
from lengthwise.harness.report.sections import build_sections
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tests.harness.synthetic_results import TASKS, synthetic_results

TITLE = "Capability versus width"
WIDTHS = (64, 128, 256)


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results(
        widths=WIDTHS, settings=("lr=0.01", "lr=0.001"), seeds=2, accidents=False
    )


@pytest.fixture(scope="module")
def sections(results: Results) -> dict[str, Section]:
    return build_sections(results)


@pytest.fixture(scope="module")
def section(sections: dict[str, Section]) -> Section:
    return sections[TITLE]


def test_width_is_shown_where_there_is_more_than_one(sections: dict[str, Section]) -> None:
    titles = list(sections)
    assert titles.index("Capability versus state size") < titles.index(TITLE)
    assert TITLE not in build_sections(synthetic_results(architectures=["attention", "mamba"]))


def test_a_point_is_the_trained_length_of_the_setting_chosen_on_validation(
    results: Results, section: Section
) -> None:
    numbers = section.tables[0].data
    assert len(numbers) == len(TASKS) * 4 * len(WIDTHS)
    assert set(numbers["setting"]) == {"lr=0.001"}
    assert set(numbers["length"]) == {64}
    point = numbers.query("task == 'mqar' and architecture == 'mamba' and width == 128").iloc[0]
    curve = next(c for c in curves(results) if c.key == ("mqar", "mamba", "width=128"))
    assert (point["accuracy"], point["low"], point["high"]) == (
        curve.mean[0],
        curve.low[0],
        curve.high[0],
    )
    assert (point["chance"], point["value set"]) == (1 / 4096, 1 / 4)
    assert (point["seeds"], point["planned seeds"]) == (2, 2)
    assert "variant" not in section.tables[0].shown


def test_an_architecture_is_one_line_however_many_widths_it_has(section: Section) -> None:
    (chart,) = section.charts
    assert [panel.title for panel in chart.panels] == list(TASKS)
    assert list(chart.legend) == [
        "attention",
        "linear_attention",
        "mamba",
        "gated_delta_net",
        "floor: value set",
        "chance",
    ]
    axes = Figure().add_subplot()
    chart.panels[0].draw(axes)
    drawn = [(np.asarray(line.get_xdata()), line) for line in axes.lines]
    lines = [line for x, line in drawn if x.tolist() == list(WIDTHS)]
    assert [to_hex(line.get_color()).lower() for line in lines] == [
        chart.legend[name].colour.lower() for name in list(chart.legend)[:4]
    ]
    levels = {float(np.asarray(line.get_ydata())[0]) for _, line in drawn if line not in lines}
    assert levels == {1 / 4, 1 / 4096}
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["64", "128", "256"]


def test_other_variants_stay_lines_of_their_own() -> None:
    several = synthetic_results(
        tasks=["needle"], architectures=["mamba"], widths=(64, 128), variants=("a=1", "a=2")
    )
    chart = build_sections(several)[TITLE].charts[0]
    assert list(chart.legend) == ["mamba, a=1", "mamba, a=2", "chance"]
    assert "Dashed" not in chart.caption


def test_a_width_without_a_result_is_named_and_not_drawn(results: Results) -> None:
    lost = results.runs.query("task == 'needle' and architecture == 'mamba' and width == 128")
    there = ~results.evaluations["run"].isin(lost["run"])
    partial = replace(
        results,
        evaluations=results.evaluations[there],
        distances=results.distances[~results.distances["run"].isin(lost["run"])],
    )
    section = build_sections(partial)[TITLE]
    assert "except mamba, width=128 on needle (0 of 2)" in section.charts[0].caption
    assert len(section.tables[0].data) == len(TASKS) * 4 * len(WIDTHS) - 1


def test_one_length_and_one_seed_a_run_give_a_whole_report(tmp_path: Path) -> None:
    shown = synthetic_results(widths=(64, 128), seeds=1, lengths=[64], accidents=False)
    page = write_report(shown, tmp_path).read_text(encoding="utf-8")
    assert TITLE in page
    assert (tmp_path / "figures" / "capability-versus-width.svg").is_file()
    numbers = pd.read_csv(tmp_path / "tables" / "capability-versus-width.csv")
    assert set(numbers["width"]) == {64, 128}
