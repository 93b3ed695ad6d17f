"""The report as written: a page that needs nothing else, and files that say the same."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest
from lengthwise.harness.report import Results, write_report
from lengthwise.harness.report.results import (
    DISTANCE_COLUMNS,
    EVALUATION_COLUMNS,
    RUN_COLUMNS,
    frame,
)

from tests.harness.synthetic_results import no_results, synthetic_results

FIGURES = {
    "capability-versus-length",
    "capability-versus-state-size",
    "capability-versus-distance",
    "evaluation-seconds-versus-length",
    "state-bytes-versus-length",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(synthetic_results(), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def small_results() -> Results:
    return synthetic_results(tasks=["needle"], architectures=["attention", "mamba"])


def test_the_page_refers_to_nothing_outside_its_folder(page: Path, text: str) -> None:
    for address in re.finditer(r"\w+://", text):
        assert re.search(r'xmlns(:\w+)?="http$', text[: address.end() - 3])
    for target in re.findall(r'(?:href|src)="([^"#]+)', text):
        assert (page.parent / target).is_file()
    assert "<script" not in text
    assert "@import" not in text


def test_every_id_is_unique_and_every_reference_has_its_id(text: str) -> None:
    ids = Counter(re.findall(r'\bid="([^"]+)"', text))
    assert max(ids.values()) == 1
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)


def test_tracebacks_and_suites_are_shown_as_text(text: str) -> None:
    assert "&lt;script&gt;alert(&#34;mixed&#34;)&lt;/script&gt;" in text
    assert "&lt;b&gt;not bold&lt;/b&gt;" in text


def test_the_page_has_one_svg_a_panel(text: str) -> None:
    assert len(re.findall(r'<div class="panel"><svg role="img" aria-label="mqar"', text)) == 4
    assert text.count('<div class="panel"><svg') == 13


def test_every_figure_is_there_as_svg_png_and_pdf(page: Path) -> None:
    figures = page.parent / "figures"
    assert {path.stem for path in figures.iterdir()} == FIGURES
    for name in FIGURES:
        ElementTree.fromstring((figures / f"{name}.svg").read_text(encoding="utf-8"))
        assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        png = (figures / f"{name}.png").read_bytes()
        # Panels are 7.1/3 inches wide, one beside the other.
        assert int.from_bytes(png[16:20]) >= 300 * 7 // 3


def test_every_table_is_there_as_csv_markdown_and_latex(page: Path) -> None:
    tables = page.parent / "tables"
    endings = Counter(path.suffix for path in tables.iterdir())
    assert len(set(endings.values())) == 1
    assert set(endings) == {".csv", ".md", ".tex"}
    assert len(pd.read_csv(tables / "runs.csv")) == 36
    capability = pd.read_csv(tables / "capability-versus-length.csv")
    assert capability["accuracy"].between(capability["low"], capability["high"]).all()


@pytest.mark.usefixtures("every_format")
def test_the_same_results_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        write_report(small_results(), folder)
    one, other = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in folders
    )
    assert one == other


def test_drawing_leaves_the_callers_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    write_report(small_results(), tmp_path)
    assert dict(mpl.rcParams) == before


def test_a_plan_of_which_nothing_ran_still_gives_a_page(tmp_path: Path) -> None:
    text = write_report(no_results(), tmp_path).read_text(encoding="utf-8")
    assert "No run has finished yet" in text
    assert "36 of 36 planned runs are not there yet." in text


def test_names_may_hold_any_text_and_trained_lengths_may_differ(tmp_path: Path) -> None:
    results = small_results()
    attention = results.runs["architecture"] == "attention"
    results.runs.loc[attention, "architecture"] = 'my_pkg:A<b> & $x$ "quoted" -->'
    results.runs.loc[attention, "trained_length"] = 96
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "my_pkg:A&lt;b&gt; &amp; $x$ &#34;quoted&#34; --&gt;" in text
    assert "A<b>" not in text
    assert "needle up to 128 tokens (1.33×)" in text


def test_lengths_that_only_some_seeds_reached_are_told_apart(tmp_path: Path) -> None:
    results = small_results()
    run = results.runs["run"].iloc[0]
    lost = (results.evaluations["run"] == run) & (results.evaluations["length"] > 256)
    partial = replace(results, evaluations=results.evaluations[~lost])
    write_report(partial, tmp_path)
    numbers = pd.read_csv(tmp_path / "tables" / "capability-versus-length.csv")
    assert numbers["seeds"].tolist() == [3, 3, 3, 2, 2] + [3] * 5


def test_no_plan_at_all_still_gives_a_page(tmp_path: Path) -> None:
    nothing = Results(
        name="nothing",
        runs=frame([], RUN_COLUMNS),
        evaluations=frame([], EVALUATION_COLUMNS),
        distances=frame([], DISTANCE_COLUMNS),
        suites={},
        command="",
        provenance={},
    )
    assert "No run was planned." in write_report(nothing, tmp_path).read_text(encoding="utf-8")


def test_one_run_at_one_length_gives_a_report(tmp_path: Path) -> None:
    results = synthetic_results(
        tasks=["mqar"], architectures=["mamba"], seeds=1, lengths=[64], accidents=False
    )
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "mqar up to 64 tokens (1×, the longest evaluated)" in text
