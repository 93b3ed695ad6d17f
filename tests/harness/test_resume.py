"""Killing the harness: what was computed stays, and what goes on equals what never stopped."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from lengthwise.harness import capacity
from lengthwise.harness.group import resumable
from lengthwise.harness.job import Job
from lengthwise.harness.population import Population
from lengthwise.harness.store import Store
from lengthwise.harness.train import Interrupted

from tests.harness.tiny import TINY, equal_weights, lengthwise, runs, write

MIXED = "sweep={seed: [0, 1], train.optimizer.lr: [1e-2, 3e-2]}"
SOLVED_EARLY = "train.stop_at=0.15"


def job(folder: Path, *overrides: str) -> Job:
    chosen = [run for run in runs(folder, *overrides) if run.architecture == "gated_delta_net"]
    root = Store.create(folder / "results").root
    return Job(tuple(chosen), root, lengths=(16, 32), examples=20, threads=2)


def silent(_message: dict[str, Any]) -> None:
    pass


class StopAfter:
    """Says stop at the n-th question, and every later one."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def results(work: Job) -> dict[str, tuple[dict[str, torch.Tensor], pd.DataFrame, pd.DataFrame]]:
    store = Store.open(work.root)
    found = {}
    for run in work.runs:
        scores = [store.evaluation(run.id, f"length={n},examples=20") for n in work.lengths]
        table = pd.concat(scores).drop(columns="seconds")
        found[run.id] = (store.weights(run.id), store.history(run.id), table)
    return found


def assert_same(left: Job, right: Job) -> None:
    expected = results(right)
    for run, (weights, history, scores) in results(left).items():
        assert equal_weights(weights, expected[run][0])
        pd.testing.assert_frame_equal(history, expected[run][1], check_exact=True)
        pd.testing.assert_frame_equal(scores, expected[run][2], check_exact=True)


@pytest.mark.parametrize("steps", [[1], [5, 3], [8], [9, 1, 1, 7]], ids=str)
@pytest.mark.parametrize("stop_at", ["train.stop_at=null", SOLVED_EARLY])
def test_an_interrupted_population_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path: Path, steps: list[int], stop_at: str
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, parts = (job(tmp_path / name, MIXED, stop_at) for name in ("whole", "parts"))
    whole.execute(silent, lambda: False)
    for count in steps:
        with pytest.raises(Interrupted):
            parts.execute(silent, StopAfter(count))
    parts.execute(silent, lambda: False)
    assert_same(parts, whole)
    assert not list((parts.root / "checkpoints").glob("*"))


def test_some_members_are_solved_before_others_in_the_test_above(tmp_path: Path) -> None:
    work = job(tmp_path, MIXED, SOLVED_EARLY)
    work.execute(silent, lambda: False)
    steps = {Store.open(work.root).record(run.id)["steps"] for run in work.runs}
    assert len(steps) > 1


def test_a_kill_between_the_checkpoints_of_members_goes_back_to_the_common_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, parts = (job(tmp_path / name, MIXED) for name in ("whole", "parts"))
    whole.execute(silent, lambda: False)
    with pytest.raises(Interrupted):
        parts.execute(silent, StopAfter(4))
    store = Store.open(parts.root)
    first = parts.runs[0].id
    (step,) = store.checkpoint_steps(first)
    store.save_checkpoint(first, step + 1, store.load_checkpoint(first, step))
    assert resumable(parts.runs, store) == [(step, list(parts.runs))]
    parts.execute(silent, lambda: False)
    assert_same(parts, whole)


def test_a_kill_in_the_middle_of_the_first_checkpoint_starts_all_members_again(
    tmp_path: Path,
) -> None:
    work = job(tmp_path, MIXED)
    with pytest.raises(Interrupted):
        work.execute(silent, StopAfter(4))
    store = Store.open(work.root)
    store.drop_checkpoints(work.runs[-1].id)
    assert resumable(work.runs, store) == [(0, list(work.runs))]


def test_runs_that_join_later_train_by_themselves(tmp_path: Path) -> None:
    work = job(tmp_path, "sweep.seed=[0, 1]")
    with pytest.raises(Interrupted):
        work.execute(silent, StopAfter(4))
    store = Store.open(work.root)
    more = job(tmp_path, "sweep.seed=[0, 1, 2]")
    (early, early_runs), (late, late_runs) = resumable(more.runs, store)
    assert (early > 0, late) == (True, 0)
    assert [run.seed for run in early_runs] == [0, 1]
    assert [run.seed for run in late_runs] == [2]


def test_a_second_process_waits_for_the_first_and_finds_everything_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = job(tmp_path), job(tmp_path)
    store = Store.open(first.root)
    told: list[dict[str, Any]] = []
    lock = store.claim(first.runs[0].shape)
    with lock, pytest.raises(Interrupted):
        second.execute(told.append, lambda: True)
    assert told == [{"waiting": True}]
    assert not checkpointed(first.root)
    first.execute(silent, lambda: False)
    monkeypatch.setattr(Population, "advance", None)
    second.execute(silent, lambda: False)
    assert second.complete(store)


def test_members_that_went_on_alone_take_no_checkpoint_from_those_left_behind(
    tmp_path: Path,
) -> None:
    work = job(tmp_path)
    with pytest.raises(Interrupted):
        work.execute(silent, StopAfter(3))
    fewer = job(tmp_path, "sweep.seed=[0, 1]")
    with pytest.raises(Interrupted):
        fewer.execute(silent, StopAfter(2))
    found = resumable(work.runs, Store.open(work.root))
    assert [(step, [run.seed for run in group]) for step, group in found] == [(7, [0, 1]), (4, [2])]


def test_testing_that_failed_once_is_forgotten_when_it_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job(tmp_path)
    store = Store.open(work.root)
    with monkeypatch.context() as patched:
        patched.setattr("lengthwise.harness.job.evaluate", out_of_memory)
        work.execute(silent, lambda: False)
    for run in work.runs:
        failure = store.failure(run.id, work.evaluations)
        assert failure is not None
        assert failure["status"] == "out_of_memory"
    work.execute(silent, lambda: False)
    assert [store.failure(run.id, work.evaluations) for run in work.runs] == [None] * 3
    assert work.complete(store)


def out_of_memory(*_args: object) -> None:
    raise MemoryError


def test_a_population_too_large_for_memory_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job(tmp_path)
    advance, sizes = Population.advance, set[int]()

    def at_most_one(population: Population) -> None:
        sizes.add(len(population.runs))
        if len(population.runs) > 1:
            raise torch.OutOfMemoryError
        advance(population)

    monkeypatch.setattr(Population, "advance", at_most_one)
    work.execute(silent, lambda: False)
    assert work.complete(Store.open(work.root))
    assert sizes == {3, 2, 1}


@pytest.mark.parametrize(("peak", "parts"), [(100, [3]), (300, [2, 1]), (700, [1, 1, 1])])
def test_a_gpu_is_given_as_many_members_at_once_as_it_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, peak: int, parts: list[int]
) -> None:
    """Of 1000 free bytes 800 are used; `peak` is what one member takes."""
    work = job(tmp_path)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (1000, 2000))
    monkeypatch.setattr(capacity, "_peak", lambda *_: peak)
    assert [len(part) for part in capacity.fitting(work.runs, "cuda:0")] == parts
    assert [len(part) for part in capacity.fitting(work.runs, "cpu")] == [3]


def test_new_seeds_join_without_touching_what_is_there(tmp_path: Path) -> None:
    work = job(tmp_path)
    work.execute(silent, lambda: False)
    before = results(work)
    more = job(tmp_path, "sweep.seed=[0, 1, 2, 3]")
    assert [run.seed for run in more.untrained(Store.open(more.root))] == [3]
    more.execute(silent, lambda: False)
    after = results(more)
    assert all(equal_weights(after[run][0], before[run][0]) for run in before)


def test_more_lengths_test_trained_runs_without_training_them_again(tmp_path: Path) -> None:
    work = job(tmp_path)
    work.execute(silent, lambda: False)
    longer = Job(work.runs, work.root, lengths=(16, 64), examples=20)
    assert not longer.complete(Store.open(work.root))
    before = [Store.open(work.root).record(run.id) for run in work.runs]
    longer.execute(silent, lambda: False)
    assert longer.complete(Store.open(work.root))
    assert [Store.open(work.root).record(run.id) for run in work.runs] == before


def checkpointed(folder: Path) -> list[Path]:
    """Runs of which something is saved."""
    return [*folder.glob("checkpoints/*"), *folder.glob("runs/*/record.json")]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def start(folder: Path, file: Path) -> subprocess.Popen[bytes]:
    code = (
        "from lengthwise.harness import cli, run; from lengthwise.harness.report import drawing; "
        "run.CHECKPOINT_SECONDS, drawing.FORMATS = 0.2, ('svg',); cli.main()"
    )
    command = [sys.executable, "-c", code, "run", str(file), "--out", str(folder), "--workers", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def test_sigkill_at_any_moment_loses_nothing_that_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, TINY.replace("epochs: 2", "epochs: 12"))
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for already in (0, 1):
        with start(killed, file) as process:
            wait_until(lambda already=already: len(checkpointed(killed)) > already)
            process.kill()
    assert checkpointed(killed)
    assert lengthwise(monkeypatch, "run", file, "--out", killed, "--quiet") == 0
    assert lengthwise(monkeypatch, "run", file, "--out", whole, "--quiet") == 0
    left, right = Store.open(killed), Store.open(whole)
    ids = [each["id"] for each in left.suite()["runs"]]
    assert len(ids) == 6
    for run in ids:
        assert equal_weights(left.weights(run), right.weights(run))
        pd.testing.assert_frame_equal(left.history(run), right.history(run), check_exact=True)


def test_ctrl_c_saves_ends_cleanly_and_the_next_call_goes_on(tmp_path: Path) -> None:
    file = write(tmp_path, TINY.replace("epochs: 2", "epochs: 60"))
    folder = tmp_path / "results"
    with start(folder, file) as process:
        wait_until(lambda: bool(checkpointed(folder)))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"the same command goes on" in errors
    assert b"Traceback" not in errors
    assert checkpointed(folder)
