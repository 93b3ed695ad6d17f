"""Trials that change hands: counted once, whoever is slow, lost, or early."""

from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from lengthwise.harness.tune.bookkeeping import ATTEMPTS, Book
from lengthwise.harness.tune.heartbeat import Watcher
from optuna.trial import FrozenTrial, TrialState


@pytest.fixture
def book(tmp_path: Path) -> Book:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage, direction="maximize")
    return Book(study, storage, FileLock(tmp_path / "lock"), trials=3)


def asked(book: Book, worker: str) -> int:
    trial = book.ask(worker)
    assert trial is not None
    trial.suggest_float("x", 0, 1)
    return trial.number


def test_no_more_than_the_budget_is_asked_for(book: Book) -> None:
    assert [asked(book, "a") for _ in range(3)] == [0, 1, 2]
    assert book.ask("b") is None
    assert len(book.study.trials) == 3


def test_a_trial_beyond_the_budget_is_withdrawn(book: Book) -> None:
    for _ in range(3):
        asked(book, "a")
    # Another machine counted two and asked at the same moment.
    early = book.study.ask()
    assert not book._is_wanted(early.number)
    book.end(early.number, "surplus")
    assert [trial.number for trial in book.counted()] == [0, 1, 2]


def unfinished(book: Book) -> list[int]:
    return [each.number for each in book.study.get_trials() if not each.state.is_finished()]


def test_a_machine_that_dies_with_a_trial_beyond_the_budget_leaves_none_running(
    book: Book,
) -> None:
    numbers = [asked(book, "a") for _ in range(3)]
    early = book.study.ask()
    for number in numbers:
        assert book.end(number, "finished", [0.5])
    assert unfinished(book) == [early.number]
    book.withdraw_surplus()
    assert unfinished(book) == []
    assert [trial.number for trial in book.counted()] == numbers
    # It was slow, not dead: what it would withdraw is withdrawn.
    assert not book.end(early.number, "surplus")


def test_a_successor_that_comes_after_another_machine_asked_leaves_none_waiting(
    book: Book, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(book, lock=FileLock(tmp_path / "lock of another machine"))
    lost, *rest = [asked(book, "a") for _ in range(3)]
    add_trial = book.study.add_trial

    def late(trial: FrozenTrial) -> None:
        rest.append(asked(other, "b"))
        add_trial(trial)

    monkeypatch.setattr(book.study, "add_trial", late)
    book.give_back(book.study.get_trials()[lost], died=True)
    for number in rest:
        assert book.end(number, "finished", [0.5])
    assert book.finished() == 3
    assert [book.study.trials[number].state for number in unfinished(book)] == [TrialState.WAITING]
    for each in (book, other):
        each.withdraw_surplus()
    assert unfinished(book) == []
    assert [trial.number for trial in book.counted()] == rest
    assert len(book.study.trials) == 5


def test_the_default_setting_put_in_by_two_machines_is_tried_once(book: Book) -> None:
    for _ in range(2):
        book.study.enqueue_trial({"x": 0.25})
    numbers = [asked(book, "a") for _ in range(3)]
    assert book.ask("a") is None
    settings = [book.study.trials[number].params["x"] for number in numbers]
    assert settings.count(0.25) == 1
    assert len(book.counted()) == 3


def test_a_lost_trial_is_tried_again_with_its_setting_and_counts_once(book: Book) -> None:
    number = asked(book, "a")
    setting = book.study.trials[number].params
    book.give_back_all_of("a", died=True)
    again = book.ask("b")
    assert again is not None
    assert again.suggest_float("x", 0, 1) == setting["x"]
    assert again.user_attrs["again"] == number
    # The first worker was slow, not lost: what it says comes too late.
    assert not book.end(number, "finished", [0.5])
    assert book.end(again.number, "finished", [0.75])
    assert [trial.number for trial in book.counted()] == [again.number]
    assert book.study.trials[number].state == TrialState.FAIL


def test_a_trial_that_kills_its_workers_has_failed_after_a_few(book: Book) -> None:
    for _ in range(ATTEMPTS):
        asked(book, "a")
        book.give_back_all_of("a", died=True)
    (trial,) = book.counted()
    assert trial.user_attrs["ended"] == "failed"
    assert "its worker died 3 times" in trial.user_attrs["error"]


def test_being_asked_to_stop_is_not_held_against_a_trial(book: Book) -> None:
    for _ in range(ATTEMPTS + 2):
        asked(book, "a")
        book.give_back_all_of("a", died=False)
    assert [trial.state for trial in book.counted()] == [TrialState.WAITING]


def test_a_worker_is_lost_when_its_trial_shows_no_sign_of_life(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("lengthwise.harness.tune.heartbeat.time.monotonic", lambda: clock[0])
    watcher = Watcher(10)
    beating, still = book.ask("a"), book.ask("b")
    assert beating is not None
    assert still is not None
    for now in range(0, 12, 3):
        clock[0] = now
        beating.set_user_attr("heartbeat", now)
        assert watcher.lost("study", book.running()) == []
    clock[0] = 12
    beating.set_user_attr("heartbeat", 12)
    assert [trial.number for trial in watcher.lost("study", book.running())] == [still.number]
