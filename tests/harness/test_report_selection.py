"""The setting that stands for an architecture is chosen on validation alone."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.harness.report.selection import choose_settings, chosen_runs

from tests.harness.synthetic_results import no_results, synthetic_results


def runs_of(validation: dict[str, list[float]], status: str = "finished") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "task": "mqar",
                "architecture": "mamba",
                "variant": "",
                "setting": setting,
                "status": status,
                "validation": value,
            }
            for setting, values in validation.items()
            for value in values
        ]
    )


def chosen(runs: pd.DataFrame) -> str:
    return choose_settings(runs)["setting"].item()


@given(
    st.dictionaries(
        st.text("abc", min_size=1),
        st.lists(st.floats(0, 1), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_the_chosen_setting_has_the_best_mean_over_seeds(
    validation: dict[str, list[float]],
) -> None:
    choice = choose_settings(runs_of(validation))
    best = max(np.mean(values) for values in validation.values())
    assert choice["validation"].item() == pytest.approx(best)
    assert np.mean(validation[choice["setting"].item()]) == pytest.approx(best)
    assert choice["candidates"].item() == len(validation)


def test_a_tie_goes_to_the_setting_planned_first() -> None:
    assert chosen(runs_of({"lr=0.1": [1.0], "lr=0.01": [1.0]})) == "lr=0.1"


def test_a_setting_does_not_win_by_the_seeds_it_lost() -> None:
    runs = runs_of({"lr=0.1": [0.99, np.nan, np.nan], "lr=0.01": [0.8, 0.8, 0.8]})
    runs.loc[[1, 2], "status"] = "diverged"
    assert chosen(runs) == "lr=0.01"


@pytest.mark.parametrize("status", ["missing", "failed", "out_of_memory"])
def test_runs_that_say_nothing_of_accuracy_count_neither_for_nor_against(status: str) -> None:
    runs = runs_of({"lr=0.1": [0.9, np.nan, np.nan], "lr=0.01": [0.8, 0.8, 0.8]})
    runs.loc[[1, 2], "status"] = status
    assert chosen(runs) == "lr=0.1"


def test_without_validation_the_setting_planned_first_is_taken() -> None:
    choice = choose_settings(runs_of({"lr=0.1": [np.nan], "lr=0.01": [np.nan]}))
    assert choice["setting"].item() == "lr=0.1"
    assert np.isnan(choice["validation"].item())


def test_test_accuracies_play_no_part_in_the_choice() -> None:
    results = synthetic_results(settings=("lr=0.01", "lr=0.001"))
    before = choose_settings(results.runs)
    results.evaluations["correct"] = 0
    pd.testing.assert_frame_equal(choose_settings(results.runs), before)


def test_every_line_chooses_for_itself_and_keeps_all_its_seeds() -> None:
    runs = synthetic_results(
        settings=("lr=0.01", "lr=0.001"), variants=("a", "b"), accidents=False
    ).runs
    choice = choose_settings(runs)
    assert len(choice) == 3 * 4 * 2
    assert set(choice["setting"]) == {"lr=0.001"}
    assert len(chosen_runs(runs)) == len(runs) // 2
    assert list(chosen_runs(runs)["run"]) == list(runs["run"][runs["setting"] == "lr=0.001"])


def test_a_plan_without_runs_has_no_choices() -> None:
    assert choose_settings(no_results().runs.iloc[:0]).empty
