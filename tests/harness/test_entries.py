"""Tasks and architectures with settings of their own, from the file to the report."""

import json
import re
from pathlib import Path

import pytest
from lengthwise.harness.collect import collect
from lengthwise.harness.schema import suite_schema
from lengthwise.harness.source import InputError, read
from lengthwise.harness.store import Store
from lengthwise.harness.suite import load_suite

from tests.harness.tiny import TINY, lengthwise, write

SHORT, LONG = "16 tokens", "32 tokens"
TASK = next(line for line in TINY.splitlines(keepends=True) if line.startswith("task:"))
OPTIONS = "vocab_size: 16, num_pairs: 2, gap: uniform, random_filler: false"
TASKS = f"""\
tasks:
  - {{label: {SHORT}, task: {{name: mqar, {OPTIONS}}}}}
  - label: {LONG}
    task: {{mqar: {{{OPTIONS}}}}}
    train: {{length: 32, batch_size: 4, validate_every: 24}}
    evaluate: {{lengths: [32, 48], examples: 10}}
"""
OWN = TINY.replace(TASK, TASKS)
FAST = ("sweep.seed=[0]", "train.examples=16", "train.epochs=1", "train.warmup_steps=0")


def test_a_task_is_trained_and_tested_with_its_own_settings(tmp_path: Path) -> None:
    suite = load_suite(write(tmp_path, OWN))
    assert len(suite.runs) == 2 * 2 * 3
    found = {
        run.task_label: (
            run.train.length,
            run.train.batch_size,
            run.train.examples,
            run.evaluate.lengths,
            run.evaluate.examples,
        )
        for run in suite.runs
    }
    assert found == {SHORT: (16, 8, 96, [16, 32], 20), LONG: (32, 4, 96, [32, 48], 10)}


@pytest.mark.parametrize(
    "task",
    [
        "mqar",
        "{name: mqar, num_pairs: 2}",
        "{mqar: {num_pairs: 2}}",
        "{task: mqar}",
        "{task: {mqar: {num_pairs: 2}}}",
        "{label: pairs, task: {name: mqar, num_pairs: 2}}",
    ],
)
def test_a_task_may_be_written_short_or_long(task: str, tmp_path: Path) -> None:
    for head in (f"task: {task}\n", f"tasks: [{task}]\n"):
        text = TINY.replace(TASK, head).replace("[16, 32]", "[64]")
        run = load_suite(write(tmp_path, text), ["train.length=64"]).runs[0]
        assert run.task.name == "mqar"
        assert run.task.options["num_pairs"] == (2 if "num_pairs" in task else 8)
        assert run.task_label == ("pairs" if "label" in task else "mqar")


def test_lengths_tested_decide_neither_a_run_nor_its_population(tmp_path: Path) -> None:
    before = load_suite(write(tmp_path, OWN)).runs
    after = load_suite(write(tmp_path, OWN.replace("[32, 48]", "[48]"))).runs
    assert [run.id for run in before] == [run.id for run in after]
    assert [run.shape for run in before] == [run.shape for run in after]


def test_an_assignment_for_all_goes_before_a_tasks_own(tmp_path: Path) -> None:
    file = write(tmp_path, OWN)
    runs = load_suite(file, ["train.batch_size=6", "evaluate.lengths=[64]"]).runs
    assert {run.train.batch_size for run in runs} == {6}
    assert {tuple(run.evaluate.lengths) for run in runs} == {(64,)}
    assert {run.train.length for run in runs} == {16, 32}
    own = "{task: mqar, train: {length: 32}, evaluate: {lengths: [64]}}"
    single = TINY.replace(TASK, f"task: {own}\n")
    (run, *_) = load_suite(write(tmp_path, single), ["train.length=128"]).runs
    assert (run.train.length, run.evaluate.lengths) == (128, [64])


BAD = {
    "a misspelt field": (
        OWN.replace("evaluate: {lengths: [32, 48]", "evaluat: {lengths: [32, 48]"),
        r"tiny\.yaml:7:5: tasks\.1\.evaluat: unknown field \(did you mean 'evaluate'\?\); "
        r"allowed: label, task, train, evaluate",
    ),
    "a misspelt field of its training": (
        OWN.replace("{length: 32, batch_size", "{length: 32, batchsize"),
        r"tiny\.yaml:6:25: tasks\.1\.train\.batchsize: unknown field "
        r"\(did you mean 'batch_size'\?\)",
    ),
    "a misspelt option": (
        OWN.replace("mqar: {vocab_size: 16, num_pairs", "mqar: {vocab_size: 16, num_pair"),
        r"tiny\.yaml:5:35: tasks\.1\.task\.mqar\.num_pair: unknown field "
        r"\(did you mean 'num_pairs'\?\)",
    ),
    "an unknown task": (
        OWN.replace("mqar: {vocab", "mqra: {vocab"),
        r"tiny\.yaml:5:12: tasks\.1\.task\.mqra: unknown task 'mqra' \(did you mean 'mqar'\?\)",
    ),
    "no task": (
        OWN.replace(f"    task: {{mqar: {{{OPTIONS}}}}}\n", ""),
        r"tiny\.yaml:4:5: tasks\.1: needs task: its name or \{name: \{options\}\}",
    ),
    "a length that the task cannot fill": (
        OWN.replace("[32, 48]", "[6, 48]"),
        r"tiny\.yaml:7:26: tasks\.1\.evaluate\.lengths\.0: 32 tokens: num_pairs: 2 does not fit",
    ),
    "a training length that the task cannot fill": (
        OWN.replace("{length: 32,", "{length: 4,"),
        r"tiny\.yaml:6:13: tasks\.1\.train\.length: 32 tokens: num_pairs: 2 does not fit length 4",
    ),
    "lengths that do not ascend": (
        OWN.replace("[32, 48]", "[48, 32]"),
        r"tiny\.yaml:7:16: tasks\.1\.evaluate\.lengths: must ascend",
    ),
    "a batch larger than all examples": (
        OWN.replace("batch_size: 4", "batch_size: 97"),
        r"tiny\.yaml:6:25: tasks\.1\.train\.batch_size: 97 is more than the 96",
    ),
    "a length both swept and its own": (
        OWN.replace("seed: [0, 1, 2]", "train.length: [16]"),
        r"tiny\.yaml:6:13: tasks\.1\.train\.length: train\.length is also swept",
    ),
    "a length that an architecture sets too": (
        OWN.replace("attention: {heads: 1}", "{mixer: attention, train: {length: 16}}"),
        r"tiny\.yaml:9:\d+: architectures\.0\.train\.length: train\.length is also set by the task "
        r"'32 tokens'; leave one of them out",
    ),
    "a length beyond the learned positions": (
        OWN.replace("{heads: 1}", "{positions: learned, max_positions: 40}", 1),
        r"tiny\.yaml:7:30: tasks\.1\.evaluate\.lengths\.1: attention: max_positions: 40 learned "
        r"positions do not reach 48 tokens; raise max_positions to 48",
    ),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_refused_at_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        load_suite(write(tmp_path, text))
    assert re.search(message, str(refused.value)), str(refused.value)


def test_the_schema_knows_the_long_form_of_a_task(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the test extra brings jsonschema")
    validator = jsonschema.Draft202012Validator(suite_schema())
    assert not list(validator.iter_errors(read(write(tmp_path, OWN)).data))
    for name in ("a misspelt field", "a misspelt field of its training", "a misspelt option"):
        assert list(validator.iter_errors(read(write(tmp_path, BAD[name][0])).data)), name


def test_each_task_is_tested_at_its_own_lengths_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path, OWN), tmp_path / "results"
    sets = [word for each in FAST for word in ("--set", each)]
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--dry-run", *sets) == 0
    assert "4 runs to train" in capsys.readouterr().out
    assert lengthwise(monkeypatch, "run", file, "--out", out, "--quiet", *sets) == 0
    store = Store.open(out)
    results = collect(store, store.suite())
    assert set(results.runs["status"]) == {"finished"}
    rows = results.evaluations.merge(results.runs, on="run")
    tested = {
        (task, int(length), int(examples))
        for task, length, examples in zip(
            rows["task"], rows["length"], rows["examples"], strict=True
        )
    }
    assert tested == {(SHORT, 16, 20), (SHORT, 32, 20), (LONG, 32, 10), (LONG, 48, 10)}
    assert set(results.floors) == set(results.runs["run"])
    assert all(each == {"value set": 0.5} for each in results.floors.values())
    held = {path: path.stat().st_mtime_ns for path in (out / "runs").rglob("*")}
    longer = file.with_name("longer.yaml")
    longer.write_text(OWN.replace("[32, 48]", "[32, 48, 64]"))
    capsys.readouterr()
    assert lengthwise(monkeypatch, "run", longer, "--out", out, "--json", *sets) == 0
    json.loads(capsys.readouterr().out)
    after = set((out / "runs").rglob("*")) - set(held)
    assert {path.name for path in after} == {"length=64,examples=10.parquet"}
    assert len(after) == 2
