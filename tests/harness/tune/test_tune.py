"""A study from its file to its report, and what its trials say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd
import pytest
from lengthwise.harness.collect import collect
from lengthwise.harness.report.sections.tuned import build
from lengthwise.harness.report.tuning import DEFAULT, TUNED, Tuning, measured
from lengthwise.harness.store import Store
from lengthwise.harness.suite import load_suite
from lengthwise.harness.tune.storage import opened, sqlite
from lengthwise.harness.tune.worker import books_of
from optuna.trial import TrialState

from tests.harness import broken_mixers
from tests.harness.tiny import lengthwise, write
from tests.harness.tune.tiny_study import STUDY, assert_planned, study


def tune(folder: Path, text: str = STUDY, *arguments: str) -> Path:
    """The results folder of a study that was run."""
    file, out = write(folder, text, "study.yaml"), folder / "results"
    with pytest.MonkeyPatch.context() as patched:
        assert lengthwise(patched, "tune", file, "--out", out, "--quiet", *arguments) == 0
    return out


def tuning(out: Path) -> Tuning:
    store = Store.open(out)
    found = collect(store, store.suite()).tuning
    assert found is not None
    return found


def test_every_architecture_gets_the_same_number_of_trials(done: Path) -> None:
    books = assert_planned(study(done.parent), done)
    assert [book.finished() for book in books] == [6, 6]
    assert [len(each.trials) for each in tuning(done).architectures] == [6, 6]


def test_the_default_setting_is_the_first_trial(done: Path) -> None:
    for each in tuning(done).architectures:
        assert each.trials[0].setting == each.default
        assert each.default["train.optimizer.lr"] == 0.01


def test_the_chosen_trial_is_the_best_on_validation_and_is_tested_with_fresh_seeds(
    done: Path,
) -> None:
    store = Store.open(done)
    results = collect(store, store.suite())
    assert set(results.runs["seed"]) == {0, 1}
    assert set(results.runs["variant"]) == {DEFAULT, TUNED}
    for each in tuning(done).architectures:
        assert each.chosen is not None
        assert each.chosen.values[0] == max(trial.values[0] for trial in each.finished)
        own = results.runs.loc[results.runs["architecture"] == each.architecture]
        tuned = store.record(own.loc[own["variant"] == TUNED, "run"].iloc[0])
        lr = tuned["run"]["train"]["optimizer"]["lr"]
        assert lr == each.chosen.setting["train.optimizer.lr"]


def test_trials_read_validation_examples_and_the_final_runs_alone_read_test_examples(
    done: Path,
) -> None:
    for folder in done.glob("runs/*"):
        seed = json.loads((folder / "record.json").read_text())["run"]["seed"]
        keys = [path.stem for path in folder.glob("evaluations/*")]
        validated = [key.startswith("split=validation") for key in keys]
        assert all(validated) if seed == 100 else not any(validated)


def test_best_yaml_is_a_suite_of_the_very_runs_that_were_tested(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tested = [each for each in Store.open(done).suite()["runs"] if each["variant"] == TUNED]
    assert {each["id"] for each in tested} == {
        run.id for run in load_suite(done / "best.yaml").runs
    }
    out = tmp_path / "best"
    assert lengthwise(monkeypatch, "run", done / "best.yaml", "--out", out, "--quiet") == 0


def test_the_same_command_computes_nothing_again(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("*")}
    file = done.parent / "study.yaml"
    assert lengthwise(monkeypatch, "tune", file, "--out", done, "--quiet") == 0
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("*")} == before


@pytest.mark.usefixtures("no_report")
def test_a_larger_budget_adds_trials_to_those_that_are_there(tmp_path: Path) -> None:
    text = STUDY.replace("seed: [0, 1]", "seed: [0]")
    out = tune(tmp_path, text.replace("trials: 6", "trials: 2"))
    first = [each.trials for each in tuning(out).architectures]
    out = tune(tmp_path, text.replace("trials: 6", "trials: 3"))
    for before, each in zip(first, tuning(out).architectures, strict=True):
        assert each.trials[:2] == before
        assert len(each.trials) == 3


def test_the_report_shows_the_gain_and_every_figure_of_tuning(done: Path) -> None:
    page = (done / "report" / "index.html").read_text(encoding="utf-8")
    for title in ("Tuned against default", "Tuning history", "Slices of the space"):
        assert title in page
    names = {path.stem for path in (done / "report" / "figures").glob("*.svg")}
    assert {"tuned-against-default-area", "tuning-history-area", "tuning-slices"} <= names
    numbers = pd.read_csv(done / "report" / "tables" / "tuned-against-default-area.csv")
    assert numbers["tuned test"].between(numbers["tuned low"], numbers["tuned high"]).all()
    assert len(pd.read_csv(done / "report" / "tables" / "trials.csv")) == 12


def test_a_diverged_seed_counts_as_nothing_reached(done: Path) -> None:
    store = Store.open(done)
    results = collect(store, store.suite())
    first = results.runs["run"].iloc[0]
    lost = results.runs["run"] == first
    runs = results.runs.assign(status=results.runs["status"].mask(lost, "diverged"))
    evaluations = results.evaluations.loc[results.evaluations["run"] != first]
    tuned = tuning(done)
    found = measured(runs, evaluations, tuned.objectives[0])
    assert found["attention", DEFAULT][0] == 0
    assert found["attention", DEFAULT][1] > 0
    section = build(replace(results, runs=runs, evaluations=evaluations))
    assert section is not None
    assert section.charts


BROKEN = STUDY.replace(
    "  - attention: {heads: 1}\n  - gated_delta_net: {heads: 1}\n",
    "".join(
        f"  - broken_study:{name}\n"
        for name in ("Raises", "RunsOutOfMemory", "Explodes", "Dies", "Identity")
    ),
).replace("trials: 6, batch: 3", "trials: 2, batch: 2")


def test_trials_that_break_are_told_as_what_they_are_and_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(str(broken_mixers.__file__), tmp_path / "broken_study.py")
    text = "\n".join(line for line in BROKEN.splitlines() if "architecture.heads" not in line)
    file, out = write(tmp_path, text, "study.yaml"), tmp_path / "results"
    assert lengthwise(monkeypatch, "tune", file, "--out", out, "--quiet", "--workers", "1") == 1
    ended = {
        each.architecture: {trial.ended for trial in each.trials}
        for each in tuning(out).architectures
    }
    assert ended == {
        "Raises": {"failed"},
        "RunsOutOfMemory": {"out_of_memory"},
        "Explodes": {"diverged"},
        "Dies": {"failed"},
        "Identity": {"finished"},
    }
    errors = {each.architecture: each.trials[0].error for each in tuning(out).architectures}
    assert "a mixer's own mistake" in errors["Raises"]
    assert "its worker died 3 times" in errors["Dies"]
    made = study(tmp_path, text=text)
    with opened(sqlite(out)) as storage:
        for label, book in books_of(made, storage, out).items():
            wanted = TrialState.COMPLETE if label == "Identity" else TrialState.FAIL
            assert {each.state for each in book.counted()} == {wanted}


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [
        ("random", "hyperband"),
        ("grid", "none"),
        ("gp", "none"),
        ("cmaes", "none"),
        ("nsga2", "none"),
    ],
)
@pytest.mark.usefixtures("no_report")
def test_samplers_and_pruners_by_name(tmp_path: Path, sampler: str, pruner: str) -> None:
    text = STUDY.replace("  - gated_delta_net: {heads: 1}\n", "").replace(
        "trials: 6, batch: 3", "trials: 10, batch: 8"
    )
    text = "\n".join(line for line in text.splitlines() if "architecture.heads" not in line)
    if sampler == "grid":
        text = text.replace("{log: [1e-4, 1e-1]}", "{choice: [1e-4, 1e-3, 1e-2, 1e-1, 1]}")
        text = text.replace("{uniform: [0, 0.3]}", "{choice: [0, 0.1]}")
    out = tune(tmp_path, f"{text}\nsampler: {sampler}\npruner: {pruner}\n", "--workers", "1")
    (tuned,) = tuning(out).architectures
    settings = {tuple(trial.setting.items()) for trial in tuned.trials}
    assert len(tuned.trials) == 10
    # A genetic algorithm may try a setting again.
    assert len(settings) == 10 or sampler == "nsga2"
    assert {trial.ended for trial in tuned.trials} <= {"finished", "pruned"}


def test_two_objectives_make_a_front(tmp_path: Path) -> None:
    text = STUDY.replace("space:\n", "space:\n  model.width: {choice: [4, 8, 12]}\n").replace(
        "objective: area", "objective: [{capability: {length: 32}}, parameters]"
    )
    text = text.replace("{choice: [1, 2], when", "{choice: [1], when")
    out = tune(tmp_path, text)
    figures = {path.stem for path in (out / "report" / "figures").glob("*.svg")}
    assert {"tuning-pareto-front", "tuning-history-parameters"} <= figures
    for each in tuning(out).architectures:
        sizes = {trial.setting["model.width"]: trial.values[1] for trial in each.finished}
        assert sorted(sizes.values()) == [sizes[width] for width in sorted(sizes)]
    best = load_suite(out / "best.yaml")
    chosen = {each.architecture: each.chosen for each in tuning(out).architectures}
    for run in best.runs:
        trial = chosen[run.architecture]
        assert trial is not None
        assert run.width == trial.setting["model.width"]


def test_optuna_reads_the_studies_without_us(done: Path) -> None:
    names = set(optuna.get_all_study_names(sqlite(done)))
    assert names == {"tiny-study/attention", "tiny-study/gated_delta_net"}
