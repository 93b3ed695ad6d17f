"""Every section of the report on invented results, and what its numbers are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lengthwise.harness.report import Results, summary
from lengthwise.harness.report.curves import curves
from lengthwise.harness.report.files import latex, markdown
from lengthwise.harness.report.section import Section, Table
from lengthwise.harness.report.sections import build_sections
from lengthwise.harness.report.style import line_styles
from lengthwise.harness.report.wording import headline, notices
from lengthwise.harness.statistics import band

from tests.harness.synthetic_results import TRACEBACK, no_results, synthetic_results

ALWAYS = {
    "Capability versus length",
    "Effective length",
    "Capability versus state size",
    "Capability versus distance",
    "Cost versus length",
    "Failures",
    "Provenance",
}


@pytest.fixture(scope="module")
def results() -> Results:
    return synthetic_results()


@pytest.fixture(scope="module")
def sections(results: Results) -> dict[str, Section]:
    return build_sections(results)


def the_table(sections: dict[str, Section], title: str, name: str) -> Table:
    return next(table for table in sections[title].tables if table.name == name)


def notice_text(results: Results) -> str:
    return " ".join(notices(results))


def test_sections_stand_in_order_and_only_where_they_have_something_to_show(
    sections: dict[str, Section],
) -> None:
    assert set(sections) == ALWAYS
    assert next(iter(sections)) == "Capability versus length"
    assert list(sections)[-1] == "Provenance"
    assert list(build_sections(no_results())) == ["Failures", "Provenance"]


def test_names_of_figures_and_tables_are_unique(sections: dict[str, Section]) -> None:
    for names in (
        [chart.name for section in sections.values() for chart in section.charts],
        [table.name for section in sections.values() for table in section.tables],
    ):
        assert len(names) == len(set(names))


def test_a_point_of_the_capability_table_is_the_mean_and_band_of_its_seeds(
    results: Results, sections: dict[str, Section]
) -> None:
    data = the_table(sections, "Capability versus length", "capability-versus-length").data
    point = data.query("task == 'needle' and architecture == 'mamba' and length == 256").iloc[0]
    runs = results.runs.query("task == 'needle' and architecture == 'mamba'")
    rows = results.evaluations[results.evaluations["run"].isin(runs["run"])].query("length == 256")
    assert point["accuracy"] == pytest.approx((rows["correct"] / rows["answers"]).mean())
    assert (point["low"], point["high"]) == band(rows["correct"], rows["answers"])
    assert point["exact"] == pytest.approx(rows["exact"].sum() / rows["examples"].sum())
    assert (point["seeds"], point["planned seeds"]) == (3, 3)


def test_a_diverged_seed_is_counted_and_not_measured(
    results: Results, sections: dict[str, Section]
) -> None:
    curve = next(each for each in curves(results) if (each.task, each.label) == ("mqar", "mamba"))
    assert (curve.seeds, curve.planned) == (2, 3)
    assert "mamba on mqar (2 of 3)" in sections["Capability versus length"].charts[0].caption
    shown = the_table(sections, "Effective length", "effective-length").shown
    assert shown.query("task == 'mqar' and architecture == 'mamba'")["seeds"].item() == "2 of 3"


def test_a_run_that_ran_out_of_memory_at_one_length_keeps_its_other_scores(
    results: Results,
) -> None:
    of_line = results.runs.query("task == 'needle' and architecture == 'attention'")
    run = of_line["run"].iloc[0]
    runs = results.runs.copy()
    runs.loc[runs["run"] == run, "status"] = "out_of_memory"
    lost = (results.evaluations["run"] == run) & (results.evaluations["length"] > 256)
    lost_bins = (results.distances["run"] == run) & (results.distances["length"] > 256)
    partial = replace(
        results,
        runs=runs,
        evaluations=results.evaluations[~lost],
        distances=results.distances[~lost_bins],
    )
    before, after = (
        next(each for each in curves(some) if each.key == ("needle", "attention", ""))
        for some in (results, partial)
    )
    assert after.seeds_at.tolist() == [3, 3, 3, 2, 2]
    assert after.mean[:3] == pytest.approx(before.mean[:3])
    built = build_sections(partial)
    caption = built["Capability versus length"].charts[0].caption
    assert "attention on needle (3 of 3 from 64, 2 of 3 from 512 tokens)" in caption
    assert "attention on needle (2 of 3)" in built["Capability versus distance"].charts[0].caption
    assert "out_of_memory" in set(built["Failures"].tables[0].data["status"])
    assert np.isfinite(summary(partial)["at longest"]).all()


def test_a_line_that_lacks_the_longest_length_has_no_accuracy_there(results: Results) -> None:
    ids = results.runs.query("task == 'needle' and architecture == 'attention'")["run"]
    evaluations, distances = results.evaluations, results.distances
    partial = replace(
        results,
        evaluations=evaluations[~(evaluations["run"].isin(ids) & (evaluations["length"] > 512))],
        distances=distances[~distances["run"].isin(ids)],
    )
    table = summary(partial).set_index(["task", "architecture"])
    assert np.isnan(table.loc[("needle", "attention"), "at longest"])  # pyright: ignore
    caption = build_sections(partial)["Capability versus distance"].charts[0].caption
    assert "attention on needle (0 of 3)" in caption


def test_untested_runs_are_announced_and_listed_without_being_failures(results: Results) -> None:
    runs = synthetic_results(accidents=False).runs
    runs.loc[runs["architecture"] == "mamba", "status"] = "untested"
    untested = replace(results, runs=runs)
    assert "9 of 36 planned runs are trained but not fully tested" in notice_text(untested)
    assert "did not finish" not in notice_text(untested)
    failures = build_sections(untested)["Failures"]
    assert "9 are trained but not fully tested" in failures.intro[0]
    assert [table.name for table in failures.tables] == ["untested-runs"]


def test_a_line_without_an_evaluation_is_named_and_not_drawn(results: Results) -> None:
    runs = results.runs.copy()
    attention = runs["architecture"] == "attention"
    runs.loc[attention, "status"] = "failed"
    there = ~results.evaluations["run"].isin(runs.loc[attention, "run"])
    lost = replace(results, runs=runs, evaluations=results.evaluations[there])
    built = build_sections(lost)
    assert "attention" not in built["Capability versus length"].charts[0].legend
    shown = the_table(built, "Effective length", "effective-length").shown
    assert set(shown.query("architecture == 'attention'")["effective length"]) == {"–"}
    assert "has no result on mqar, selective_copying and needle" in headline(lost)[1][0][1]


def test_effective_lengths_carry_their_bound_and_range_over_seeds(
    sections: dict[str, Section],
) -> None:
    table = the_table(sections, "Effective length", "effective-length")
    best = table.shown.query("task == 'needle' and architecture == 'gated_delta_net'").iloc[0]
    assert (best["effective length"], best["× trained"]) == ("≥ 1,024", "≥ 16×")
    assert "variant" not in table.shown
    row = table.data.query("task == 'needle' and architecture == 'gated_delta_net'").iloc[0]
    assert (row["bound"], row["effective_length"], row["multiple"]) == ("≥", 1024, 16)
    assert row["least_of_seeds"] <= row["greatest_of_seeds"]


def test_chosen_settings_are_shown_where_there_was_a_choice() -> None:
    built = build_sections(synthetic_results(settings=("lr=0.01", "lr=0.001"), accidents=False))
    shown = the_table(built, "Chosen settings", "chosen-settings").shown
    assert set(shown["setting"]) == {"lr=0.001"}
    assert set(shown["settings tried"]) == {"2"}


def test_distance_is_left_out_where_there_is_only_one_bin(results: Results) -> None:
    one_bin = results.distances[results.distances["low"] == 64]
    built = build_sections(replace(results, distances=one_bin))
    assert "Capability versus distance" not in built


def test_failures_name_every_run_that_ended_badly_with_its_traceback(
    sections: dict[str, Section],
) -> None:
    failures = sections["Failures"]
    assert list(failures.tables[0].data["status"]) == ["diverged", "failed"]
    assert [item.text for item in failures.verbatim] == ["loss is nan at step 1200", TRACEBACK]


def test_a_report_without_failures_says_so() -> None:
    section = build_sections(synthetic_results(tasks=["mqar"], accidents=False))["Failures"]
    assert section.intro == ["None: 12 planned runs, every one finished or solved."]
    assert not section.tables


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "no line here holds more than 1 seed. The bars say nothing about other seeds."),
        (2, "no line here holds more than 2 seeds."),
    ],
)
def test_fewer_than_three_seeds_are_announced(seeds: int, said: str) -> None:
    assert said in notice_text(synthetic_results(seeds=seeds, accidents=False))


def test_three_seeds_without_accidents_need_no_notice() -> None:
    assert notices(synthetic_results(accidents=False)) == []


def test_failed_and_missing_runs_are_announced(results: Results) -> None:
    assert "2 of 36 runs did not finish" in notice_text(results)
    assert "36 of 36 planned runs are not there yet" in notice_text(no_results())


def test_the_headline_says_how_far_each_architecture_reaches(results: Results) -> None:
    sentences = dict(headline(results)[1])
    assert "needle up to 1,024 tokens (16×, the longest evaluated)" in sentences["gated_delta_net"]
    assert sentences["attention"].startswith("keeps mqar up to 64 tokens (1×)")


def test_the_headline_says_what_is_lost_from_the_start() -> None:
    results = synthetic_results(tasks=["mqar"], architectures=["attention"])
    results.evaluations["correct"] = results.evaluations["answers"] // 2
    assert headline(results)[1][0][1] == "does not reach it on mqar (0.500 at 64 tokens)."


def test_the_summary_has_one_row_a_task_and_architecture(results: Results) -> None:
    table = summary(results)
    assert len(table) == 12
    row = table.query("task == 'mqar' and architecture == 'mamba'").iloc[0]
    assert row["at trained"] > 0.98 > row["at longest"]
    assert row["runs"] == "2 finished, 1 diverged"
    assert row["seconds"] > 0
    empty = summary(no_results())
    assert set(empty["effective"]) == {"–"}
    assert set(empty["runs"]) == {"3 missing"}


def test_provenance_names_seeds_devices_suites_and_the_command(
    results: Results, sections: dict[str, Section]
) -> None:
    provenance = sections["Provenance"]
    facts = dict(provenance.tables[0].data.to_numpy().tolist())
    assert facts["seeds"] == "0, 1 and 2"
    assert facts["device of the runs"] == "NVIDIA H100 80GB HBM3"
    assert facts["machine of the runs"] == "16-core AMD EPYC, Linux"
    assert facts["threads"] == "4"
    assert facts["backends, gated_delta_net"] == "gated_delta_rule: chunked"
    assert "scaled_dot_product_attention" in facts["backends, attention"]
    assert [item.text for item in provenance.verbatim] == [
        results.command,
        *results.suites.values(),
    ]


def test_no_two_lines_look_the_same() -> None:
    lines = [(f"mixer{index % 9}", f"width={index // 9}") for index in range(36)]
    styles = line_styles(lines)
    assert len(set(styles.values())) == len(lines)
    few = list(line_styles([(name, "") for name in "abcde"]).values())
    for seen in ("colour", "marker", "dashes"):
        assert len({getattr(style, seen) for style in few}) == 5


def test_tables_are_escaped_in_markdown_and_latex() -> None:
    frame = pd.DataFrame({"a_b": ["x|y & 50 %"], "n": ["≥ 1,024"]})
    assert "x\\|y & 50 %" in markdown(frame)
    text = latex(Table("t", "A _ caption", frame, frame))
    assert r"x|y \& 50 \% & $\geq$ 1,024 \\" in text
    assert r"\begin{tabular}{lr}" in text


def test_results_without_a_column_or_with_an_unknown_status_are_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="runs lacks validation, loss"):
        replace(results, runs=results.runs.drop(columns=["validation", "loss"]))
    with pytest.raises(ValueError, match="'crashed' is none of finished"):
        replace(results, runs=results.runs.assign(status="crashed"))
