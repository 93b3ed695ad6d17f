"""Wrong options, folders and devices: exit status 2 and one readable message."""

import json
import re
from pathlib import Path

import pytest
from lengthwise.harness.store import FORMAT
from lengthwise.harness.suite import load_suite

from tests.harness.tiny import TINY, lengthwise, write

BAD_SETS = {
    "train.optimizer.lrr=1e-3": r"--set train\.optimizer\.lrr=1e-3: train\.optimizer\.lrr: unknown",
    "train.optimizer.lr=fast": r"--set train\.optimizer\.lr=fast: .*valid number.*not 'fast'",
    "train": r"--set train: write it as --set path\.to\.field=value",
    "architectures.7=mamba": r"--set architectures\.7=mamba: there is no architectures\.7",
    "name.first=x": r"--set name\.first=x: there is no name",
    "train.optimizer={lr: [}": r"--set train\.optimizer=\{lr: \[\}: the value:1:7: not YAML",
    "sweep.train.optimizer.lr=[.inf]": r"--set sweep\.train\.optimizer\.lr.*not inf",
    "²=3": r"--set ²=3: ²: unknown field",
}


@pytest.mark.parametrize(("assignment", "message"), BAD_SETS.items(), ids=BAD_SETS)
def test_a_bad_assignment_is_named(
    assignment: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert lengthwise(monkeypatch, "check", write(tmp_path), "--set", assignment) == 2
    errors = capsys.readouterr().err
    assert re.search(message, errors), errors


def test_two_suites_with_modules_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files: list[Path] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        example = Path(__file__).parents[2] / "docs" / "examples" / "decaying_average.py"
        (folder / "twice_named.py").write_text(example.read_text(encoding="utf-8"))
        text = TINY.replace("gated_delta_net: {heads: 1}", "twice_named:DecayingAverage")
        files.append(write(folder, text))
    assert lengthwise(monkeypatch, "check", *files) == 2
    errors = capsys.readouterr().err
    assert "one/twice_named.py, not from" in errors
    monkeypatch.chdir(tmp_path / "two")
    assert lengthwise(monkeypatch, "check", files[0]) == 0


def test_setting_what_is_swept_is_refused_with_a_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, TINY.replace("seed: [0, 1, 2]", "train.optimizer.lr: [1e-3, 1e-2]"))
    assert lengthwise(monkeypatch, "check", file, "--set", "train.optimizer.lr=3e-3") == 2
    assert "is swept; set sweep.train.optimizer.lr to a list instead" in capsys.readouterr().err


def test_what_is_set_for_all_goes_before_what_an_architecture_sets_for_itself(
    tmp_path: Path,
) -> None:
    own = "{mixer: attention, train: {batch_size: 4, optimizer: {lr: 1}}}"
    file = write(tmp_path, TINY.replace("attention: {heads: 1}", own))
    assert {run.train.optimizer.lr for run in load_suite(file).runs} == {1.0, 0.01}
    runs = load_suite(file, ["train.optimizer.lr=3e-3"]).runs
    assert {run.train.optimizer.lr for run in runs} == {0.003}
    assert {run.train.batch_size for run in runs} == {4, 8}


def refused(monkeypatch: pytest.MonkeyPatch, file: Path, out: Path) -> None:
    assert lengthwise(monkeypatch, "run", file, "--out", out) == 2


def test_an_unwritable_results_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    refused(monkeypatch, write(tmp_path), blocked / "results")
    assert re.search(r"file/results: cannot be written: Not a directory", capsys.readouterr().err)


def test_results_of_another_version_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    out.mkdir()
    (out / "lengthwise.json").write_text(json.dumps({"format": 99}))
    refused(monkeypatch, write(tmp_path), out)
    assert re.search(r"made by another version .*format 99", capsys.readouterr().err)
    assert lengthwise(monkeypatch, "report", out) == 2


def test_a_results_folder_of_another_suite_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    out.mkdir()
    (out / "lengthwise.json").write_text(json.dumps({"format": FORMAT}))
    (out / "suite.json").write_text(json.dumps({"name": "other"}))
    refused(monkeypatch, write(tmp_path), out)
    assert "holds the suite 'other', not 'tiny'" in capsys.readouterr().err


def test_a_folder_without_results_has_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, "report", tmp_path) == 2
    assert "is not a results folder" in capsys.readouterr().err


def test_a_missing_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, "run", tmp_path / "none.yaml") == 2
    assert "none.yaml: cannot be read: No such file" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lengthwise(monkeypatch, "run", write(tmp_path), "--devices", "cuda:77") == 2
    assert "--devices cuda:77: cannot be used" in capsys.readouterr().err
