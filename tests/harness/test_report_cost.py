"""The cost section: seconds, state bytes and their exponents."""

from dataclasses import replace

import numpy as np
import pytest
from lengthwise.harness.report import Results
from lengthwise.harness.report.section import Section, Table
from lengthwise.harness.report.sections import build_sections

from tests.harness.synthetic_results import synthetic_results


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results()


@pytest.fixture(scope="module")
def cost(results: Results) -> Section:
    return build_sections(results)["Cost versus length"]


def the_table(section: Section, name: str) -> Table:
    return next(table for table in section.tables if table.name == name)


def test_attention_costs_more_than_linear_time_and_linear_state(
    cost: Section,
) -> None:
    time = the_table(cost, "time-exponents").data
    attention = time.query("architecture == 'attention'")["exponent"]
    others = time.query("architecture != 'attention'")["exponent"]
    assert min(attention) > 1.3 > 1.0 > max(others)
    assert set(time["shortest_fitted"]) == {256}
    state = the_table(cost, "state-exponents")
    exponents = dict(state.shown[["architecture", "exponent"]].to_numpy().tolist())
    assert exponents.pop("attention") == "1.00"
    assert set(exponents.values()) == {"0.00"}


def test_a_state_that_is_the_same_for_all_tasks_is_shown_once(
    results: Results, cost: Section
) -> None:
    assert [panel.title for panel in cost.charts[1].panels] == ["all tasks"]
    assert len(the_table(cost, "state-exponents").shown) == 4
    assert "on 3 lengths" in cost.tables[0].caption
    mqar = results.runs.loc[results.runs["task"] == "mqar", "run"]
    evaluations = results.evaluations.copy()
    evaluations.loc[evaluations["run"].isin(mqar), "state_bytes"] += 8
    built = build_sections(replace(results, evaluations=evaluations))
    assert len(built["Cost versus length"].charts[1].panels) == 3
    assert len(the_table(built["Cost versus length"], "state-exponents").shown) == 12


def test_costs_that_were_not_measured_are_left_out() -> None:
    results = synthetic_results(tasks=["mqar"])
    results.evaluations["seconds"] = np.nan
    results.evaluations["state_bytes"] = 0
    built = build_sections(results)
    assert not built["Cost versus length"].charts
    assert "Capability versus state size" not in built
    assert [table.name for table in built["Cost versus length"].tables] == ["training-cost"]
