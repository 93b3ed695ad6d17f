"""Wrong studies and storages: exit status 2, one readable message, and no trial lost."""

import re
import shutil
from pathlib import Path

import pytest
from lengthwise.harness.tune.storage import opened, sqlite
from lengthwise.harness.tune.worker import books_of

from tests.harness.tiny import lengthwise, write
from tests.harness.tune.postgresql import free_port
from tests.harness.tune.tiny_study import STUDY, study

LOG = "{log: [1e-4, 1e-1]}"
SPACE = r"study\.yaml:20:23: space\.train\.optimizer\.lr"

BAD_STUDIES = {
    "an empty range": (
        STUDY.replace(LOG, "{log: [1e-2, 1e-2]}"),
        SPACE.replace(":23", ":24") + r"\.log: is empty: from 0\.01 to 0\.01",
    ),
    "an inverted range": (
        STUDY.replace(LOG, "{log: [1e-1, 1e-4]}"),
        r"lr\.log: is inverted: 0\.1 is above 0\.0001; write \[0\.0001, 0\.1\]",
    ),
    "a range with one end": (
        STUDY.replace(LOG, "{log: [1e-1]}"),
        r"study\.yaml:20:24: space\.train\.optimizer\.lr\.log: .*at least 2 items",
    ),
    "a logarithmic range from zero": (
        STUDY.replace(LOG, "{log: [0, 1]}"),
        r"study\.yaml:20:30: .*lr\.log\.0: a logarithmic range starts above 0, not at 0",
    ),
    "a field that is not there": (
        STUDY.replace("train.optimizer.lr:", "train.optimizer.lrr:"),
        r"study\.yaml:20:\d+: .*cannot vary 'train\.optimizer\.lrr': unknown field 'lrr' "
        r"\(did you mean 'lr'\?\)",
    ),
    "a section that is not there": (
        STUDY.replace("train.optimizer.lr:", "trian.optimizer.lr:"),
        r"study\.yaml:20:3: .*cannot tune 'trian\.optimizer\.lr' \(did you mean 'train'\?\)",
    ),
    "a task's field": (
        STUDY.replace("train.optimizer.lr:", "task.num_pairs:"),
        r"cannot tune 'task\.num_pairs'; a task is what is asked, never tuned",
    ),
    "an option that another architecture has": (
        STUDY.replace("when: {architecture: gated_delta_net}", "when: {}").replace(
            "architecture.heads", "architecture.conv_size"
        ),
        r"study\.yaml:22:3: .*attention has no option 'conv_size'.*name those that have it: when",
    ),
    "a categorical for a number": (
        STUDY.replace(LOG, "{choice: [slow, 1e-2]}"),
        r"study\.yaml:20:33: train\.optimizer\.lr: .*valid number.*not 'slow'",
    ),
    "numbers for a text": (
        STUDY.replace(f"train.optimizer.lr: {LOG}", "train.schedule: {uniform: [0, 1]}"),
        r"study\.yaml:20:\d+: train\.schedule: .*'cosine_by_epoch' or 'constant', not 0",
    ),
    "fractions for a whole number": (
        STUDY.replace(f"train.optimizer.lr: {LOG}", "model.width: {uniform: [8, 24]}"),
        r"study\.yaml:20:17: model\.width: .*integer",
    ),
    "heads that do not divide the width": (
        STUDY.replace("{choice: [1, 2],", "{choice: [1, 3],"),
        r"study\.yaml:22:\d+: .*heads: 3 does not divide the width 8",
    ),
    "no scale": (STUDY.replace(LOG, "{}"), r"needs exactly one of log, uniform, .*not none"),
    "a misspelt scale": (
        STUDY.replace("{log:", "{logg:"),
        r"study\.yaml:20:24: .*logg: unknown field \(did you mean 'log'\?\)",
    ),
    "a condition on an architecture that is not there": (
        STUDY.replace("{architecture: gated_delta_net}", "{architecture: gated_deltanet}"),
        r"architecture is never 'gated_deltanet' \(did you mean 'gated_delta_net'\?\)",
    ),
    "a condition on what is no choice": (
        STUDY.replace("{architecture: gated_delta_net}", "{train.optimizer.lr: 1}"),
        r"when\.train\.optimizer\.lr: no choice of this name stands above it",
    ),
    "an objective that is not reported": (
        STUDY.replace("objective: area", "objective: aera"),
        r"study\.yaml:23:1: objective: 'aera' is not reported \(did you mean 'area'\?\)",
    ),
    "a length that is not evaluated": (
        STUDY.replace("objective: area", "objective: {capability: {length: 64}}"),
        r"study\.yaml:23:26: .*capability is not reported at 64 tokens; allowed: 16, 32",
    ),
    "a cost alone": (
        STUDY.replace("objective: area", "objective: parameters"),
        r"a cost alone is least for nothing; add capability, area or effective_length",
    ),
    "three objectives": (
        STUDY.replace("objective: area", "objective: [area, parameters, capability]"),
        r"names one metric or two, not 3",
    ),
    "pruning for two objectives": (
        STUDY.replace("objective: area", "objective: [area, parameters]\npruner: median"),
        r"study\.yaml:24:1: pruner: only one objective can be pruned for",
    ),
    "no objective": (
        STUDY.replace("objective: area\n", ""),
        r"objective: this field is required",
    ),
    "an unknown sampler": (
        STUDY + "sampler: tpee\n",
        r"study\.yaml:25:1: sampler: .*'tpe'.*not 'tpee'.*did you mean 'tpe'",
    ),
    "a seed of the test in the trials": (
        STUDY.replace("seeds: [100]", "seeds: [1]"),
        r"study\.yaml:24:39: budget\.seeds\.0: 1 is a seed of the test",
    ),
    "a sweep beside the space": (
        STUDY.replace("seed: [0, 1]}", "seed: [0, 1], train.epochs: [1, 2]}"),
        r"sweep\.train\.epochs: a study sweeps seeds alone",
    ),
    "a grid of an endless range": (
        STUDY + "sampler: grid\n",
        r"space\.train\.optimizer\.lr: a grid has no end of a range's numbers",
    ),
    "a task with training of its own": (
        STUDY.replace(
            "task: {name: mqar, ", "task: {train: {epochs: 1}, task: {name: mqar, "
        ).replace("random_filler: false}", "random_filler: false}}"),
        r"study\.yaml:2:8: tasks\.0\.train: a study trains and tests every task alike",
    ),
    "no trials": (STUDY.replace("trials: 6", "trials: 0"), r"budget\.trials: .*greater than 0"),
}


@pytest.mark.parametrize(("text", "message"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_a_bad_study_is_refused_with_its_place_and_a_remedy(
    text: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = write(tmp_path, text, "study.yaml"), tmp_path / "results"
    assert lengthwise(monkeypatch, "tune", file, "--out", out) == 2
    errors = capsys.readouterr().err
    assert re.search(message, errors), errors
    assert "Traceback" not in errors
    assert not out.exists()


def refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *arguments: str | Path,
) -> str:
    capsys.readouterr()
    assert lengthwise(monkeypatch, "tune", *arguments, "--workers", "1", "--quiet") == 2
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return errors


def numbers(made: Path, out: Path) -> list[int]:
    with opened(sqlite(out)) as storage:
        books = books_of(study(made.parent, text=made.read_text()), storage, out)
        return [len(book.study.get_trials()) for book in books.values()]


@pytest.fixture
def copied(done: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The file and the results of a study that is over, to be spoilt."""
    folder = shutil.copytree(done.parent, tmp_path / "copied")
    return folder / "study.yaml", folder / done.name


def test_a_study_made_with_another_space_is_refused_saying_what_differs(
    copied: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = copied
    before = numbers(file, out)
    changed = write(tmp_path, file.read_text().replace(LOG, "{log: [1e-3, 1e-1]}"), "study.yaml")
    errors = refused(monkeypatch, capsys, changed, "--out", out)
    assert (
        "was made with another space train.optimizer.lr: "
        '{"log": [0.0001, 0.1]} there, {"log": [0.001, 0.1]} here'
    ) in errors
    errors = refused(monkeypatch, capsys, file, "--out", out, "--set", "objective=capability")
    assert "another objective area" in errors
    assert numbers(file, out) == before


def test_a_read_only_database_is_refused_and_no_trial_is_lost(
    copied: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, out = copied
    before = numbers(file, out)
    url = f"sqlite:///file:{out / 'study.db'}?mode=ro&uri=true"
    errors = refused(monkeypatch, capsys, file, "--out", tmp_path / "other", "--storage", url)
    assert "cannot be written: attempt to write a readonly database" in errors
    assert numbers(file, out) == before


def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, STUDY, "study.yaml")
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/trials"
    errors = refused(monkeypatch, capsys, file, "--out", tmp_path / "out", "--storage", url)
    assert "--storage postgresql://me:***@127.0.0.1" in errors
    assert "cannot be used" in errors
    assert "refused" in errors


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("oracledb9://x/y", "cannot be used"),
        ("no such folder\0", "cannot be used"),
        ("sqlite:////nowhere/at/all/study.db", "unable to open database file"),
    ],
)
def test_a_storage_that_is_none_is_refused(
    storage: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = write(tmp_path, STUDY, "study.yaml")
    errors = refused(monkeypatch, capsys, file, "--out", tmp_path / "out", "--storage", storage)
    assert message in errors


def test_a_file_that_holds_something_else_is_no_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, STUDY, "study.yaml")
    (tmp_path / "letter").write_text("Dear all,\n" * 100)
    url = f"sqlite:///{tmp_path / 'letter'}"
    errors = refused(monkeypatch, capsys, file, "--out", tmp_path / "out", "--storage", url)
    assert "file is not a database" in errors
    errors = refused(
        monkeypatch, capsys, file, "--out", tmp_path / "out", "--storage", tmp_path / "letter"
    )
    assert "cannot be used" in errors
