"""The commands, from suite file to report."""

import json
from pathlib import Path

import pandas as pd
import pytest
from lengthwise.harness.store import Store

from tests.harness.tiny import TINY, lengthwise, write

ROOT = Path(__file__).parents[2]


def test_a_suite_runs_to_its_report_and_a_second_call_computes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path), tmp_path / "results"
    assert lengthwise(monkeypatch, "run", file, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "gated_delta_net" in printed
    page = out / "report" / "index.html"
    assert str(page) in printed.replace("\n", "")
    assert page.exists()
    assert (out / "report" / "figures").is_dir()
    store = Store.open(out)
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--json") == 0
    assert {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")} == before
    (summary,) = json.loads(capsys.readouterr().out)
    assert summary["report"] == str(page)
    assert len(summary["summary"]) == 2
    history = pd.read_parquet(next((out / "runs").glob("*/history.parquet")))
    assert history["step"].tolist() == [8, 16, 24]
    run = store.suite()["runs"][0]["id"]
    scores = store.evaluation(run, "length=32,examples=20")
    assert sum(scores["answers"].tolist()) == 40


def test_a_users_own_mixer_trains_and_shows_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = ROOT / "docs" / "examples" / "decaying_average.yaml"
    monkeypatch.chdir(tmp_path)
    sets = ["--set", "train.examples=1920", "--set", "sweep.seed=[0]"]
    assert lengthwise(monkeypatch, "run", suite, "--quiet", *sets) == 0
    page = tmp_path / "results" / "decaying-average" / "report" / "index.html"
    assert "DecayingAverage" in page.read_text(encoding="utf-8")
    store = Store.open(tmp_path / "results" / "decaying-average")
    records = [store.record(each["id"]) for each in store.suite()["runs"]]
    mixers = [each["run"]["mixers"][0]["name"] for each in records]
    assert mixers == ["decaying_average:DecayingAverage", "gated_delta_net"]


def test_an_override_changes_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path), tmp_path / "results"
    change = ["--set", "train.optimizer.lr=3e-3", "--set", "sweep.seed=[5]"]
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--quiet", *change) == 0
    assert capsys.readouterr().out == ""
    runs = Store.open(out).suite()["runs"]
    assert {each["train"]["optimizer"]["lr"] for each in runs} == {0.003}
    assert {each["seed"] for each in runs} == {5}


def test_a_dry_run_computes_and_stores_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert lengthwise(monkeypatch, "run", write(tmp_path), "--out", out, "--dry-run") == 0
    printed = capsys.readouterr().out
    assert "6 runs to train, 0 already" in printed
    assert not out.exists()


def test_the_report_of_an_unfinished_folder_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path), tmp_path / "results"
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--set", "sweep.seed=[0]") == 0
    asked = json.loads((out / "suite.json").read_text())
    lost = asked["runs"][0] | {"id": "0" * 16, "seed": 9}
    (out / "suite.json").write_text(json.dumps(asked | {"runs": [*asked["runs"], lost]}))
    capsys.readouterr()
    assert lengthwise(monkeypatch, "report", out, "--json") == 1
    (summary,) = json.loads(capsys.readouterr().out)
    assert summary["summary"][0]["runs"] == "1 finished, 1 missing"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["list", "tasks"], ["mqar", "copying", "needle", "num_pairs"]),
        (["list", "architectures"], ["attention", "mamba", "positions", "heads"]),
        (["list", "kernels"], ["gated_delta_rule", "chunked", "reference"]),
        (["list", "suites"], ["quickstart.yaml"]),
        (["show", "mqar", "--length", "64"], ["→", "distance", "chance"]),
        (["show", "mqar", "--length", "64", "--set", "gap={fixed: 34}"], ["  34\n"]),
        (["check", "configs/quickstart.yaml"], ["nothing wrong"]),
        (["check", "configs/zoology_figure2.yaml"], ["96 runs, nothing wrong"]),
        (["check", "configs/tune/recall.yaml"], ["256 trials, nothing wrong"]),
        (["doctor"], ["torch", "C++ compiler", "chunked"]),
        (["bench", "data", "--count", "64", "--repeats", "1"], ["mqar", "examples/s"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].islower() else "",
)
def test_a_command_prints_what_it_is_for(
    arguments: list[str],
    expected: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    assert lengthwise(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    for word in expected:
        assert word in printed


def test_showing_what_a_task_cannot_do_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, "show", "mqar", "--length", "12") == 2
    assert "does not fit length 12" in capsys.readouterr().err
    assert lengthwise(monkeypatch, "show", "mqar", "--set", "pairs=3") == 2
    assert "num_pairs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "tune",
        "report",
        "list",
        "show",
        "check",
        "schema",
        "doctor",
        "bench",
        "bench data",
        "bench kernels",
    ],
)
def test_every_command_has_help_that_says_what_it_does(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, *command.split(), "--help") == 0
    printed = capsys.readouterr().out
    assert "Usage" in printed
    assert len(printed.splitlines()) > 6


def test_the_schema_accepts_the_suites_that_the_checker_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the test extra brings jsonschema")
    from lengthwise.harness.source import read

    assert lengthwise(monkeypatch, "schema") == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    accepted = [*ROOT.glob("configs/*.yaml"), *ROOT.glob("docs/**/*.yaml"), write(tmp_path)]
    assert len(accepted) >= 3
    for file in accepted:
        assert not list(validator.iter_errors(read(file).data)), file
    assert lengthwise(monkeypatch, "schema", "study") == 0
    studies = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    for file in ROOT.glob("configs/tune/*.yaml"):
        assert not list(studies.iter_errors(read(file).data)), file
        assert list(validator.iter_errors(read(file).data)), file
    for wrong in (
        TINY.replace("num_pairs", "num_pair"),
        TINY.replace("batch_size", "batchsize"),
        TINY.replace("attention: {heads: 1}", "attention: {heads: many}"),
    ):
        assert list(validator.iter_errors(read(write(tmp_path, wrong)).data))
