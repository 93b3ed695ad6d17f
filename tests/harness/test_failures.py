"""Runs that break are recorded as what they are, and the others go on."""

import shutil
from pathlib import Path

import pytest
from lengthwise.harness.store import TRAINING, Store

from tests.harness import broken_mixers
from tests.harness.tiny import TINY, lengthwise, write

SUITE = TINY.replace(
    "  - attention: {heads: 1}\n  - gated_delta_net: {heads: 1}\n",
    "".join(
        f"  - broken_mixers:{name}\n"
        for name in ("Raises", "RaisesWhenLong", "RunsOutOfMemory", "Explodes", "Dies", "Identity")
    ),
)


def test_broken_runs_are_recorded_and_the_others_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(str(broken_mixers.__file__), tmp_path / "broken_once.py")
    file, out = write(tmp_path, SUITE.replace("broken_mixers:", "broken_once:")), tmp_path / "out"
    assert lengthwise(monkeypatch, "run", file, "--out", out) == 1
    assert "3 finished at step 24" in capsys.readouterr().out
    store = Store.open(out)
    ended: dict[str, set[str]] = {}
    errors: dict[str, str] = {}
    for run in store.suite()["runs"]:
        failure = store.failure(run["id"], run["evaluations"])
        how = failure["status"] if failure else store.record(run["id"])["status"]
        ended.setdefault(run["architecture"], set()).add(how)
        errors[run["architecture"]] = failure["error"] if failure else ""
    assert ended == {
        "Raises": {"failed"},
        "RaisesWhenLong": {"failed"},
        "RunsOutOfMemory": {"out_of_memory"},
        "Explodes": {"diverged"},
        "Dies": {"failed"},
        "Identity": {"finished"},
    }
    assert "a mixer's own mistake" in errors["Raises"]
    assert "forward" in errors["Raises"]
    assert "too long for me" in errors["RaisesWhenLong"]
    assert "signal 9" in errors["Dies"]
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "too long for me" in page
    assert "signal 9" in page


def test_a_run_that_broke_is_tried_again_and_one_that_diverged_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(str(broken_mixers.__file__), tmp_path / "broken_twice.py")
    text = SUITE.replace("  - broken_mixers:Dies\n", "").replace("seed: [0, 1, 2]", "seed: [0]")
    text = text.replace("broken_mixers:", "broken_twice:")
    file, out = write(tmp_path, text), tmp_path / "results"
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--quiet") == 1
    store = Store.open(out)
    ids = {each["architecture"]: each["id"] for each in store.suite()["runs"]}
    record, failure = store.record(ids["Explodes"]), store.failure(ids["Raises"], [])
    assert failure is not None
    store.save_failure(ids["Raises"], TRAINING, failure | {"error": "old"})
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--quiet") == 1
    assert store.record(ids["Explodes"]) == record
    again = store.failure(ids["Raises"], [])
    assert again is not None
    assert again["error"] != "old"
