"""Intervals, effective lengths and exponents against independent formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lengthwise.harness.statistics import (
    area_under_curve,
    band,
    clopper_pearson,
    effective_length,
    normalised,
    power_law,
    t_interval,
    upper_half,
)
from scipy import stats

ACCURACIES = st.lists(st.floats(0, 1), min_size=1, max_size=8)
COUNTS = st.integers(1, 5000).flatmap(
    lambda answers: st.tuples(st.integers(0, answers), st.just(answers))
)


@given(COUNTS, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_the_binomial_interval_is_the_exact_one_of_scipy(
    counts: tuple[int, int], confidence: float
) -> None:
    expected = stats.binomtest(*counts).proportion_ci(confidence, method="exact")
    assert clopper_pearson(*counts, confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-9
    )


@pytest.mark.parametrize("answers", [1, 7, 60])
def test_the_binomial_interval_covers_every_truth_at_least_as_often_as_it_says(
    answers: int,
) -> None:
    intervals = [clopper_pearson(correct, answers) for correct in range(answers + 1)]
    for truth in np.linspace(0, 1, 41):
        chances = stats.binom.pmf(np.arange(answers + 1), answers, truth)
        covered = [low <= truth <= high for low, high in intervals]
        assert chances[covered].sum() >= 0.95


@pytest.mark.parametrize("counts", [(0, 0), (3, 2), (-1, 4)])
def test_counts_that_are_no_proportion_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no proportion"):
        clopper_pearson(*counts)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda a: np.std(a) > 1e-6))
def test_the_interval_over_seeds_is_students(accuracies: list[float]) -> None:
    expected = stats.t.interval(
        0.95, len(accuracies) - 1, np.mean(accuracies), stats.sem(accuracies)
    )
    assert t_interval(accuracies) == pytest.approx(expected)


def test_one_seed_has_no_interval_over_seeds() -> None:
    assert np.isnan(t_interval([0.7])).all()


@given(st.lists(COUNTS, min_size=1, max_size=6))
def test_the_band_holds_the_mean_of_seeds_with_equal_counts_and_stays_between_0_and_1(
    seeds: list[tuple[int, int]],
) -> None:
    answers = seeds[0][1]
    correct = [min(right, answers) for right, _ in seeds]
    low, high = band(correct, [answers] * len(correct))
    assert 0 <= low <= np.mean(correct) / answers <= high <= 1


@given(st.lists(COUNTS, min_size=2, max_size=6))
def test_each_end_of_the_band_is_the_wider_of_both_intervals(
    seeds: list[tuple[int, int]],
) -> None:
    correct, answers = np.array(seeds).T
    low, high = band(correct, answers)
    exact, over_seeds = (
        clopper_pearson(int(correct.sum()), int(answers.sum())),
        t_interval(correct / answers),
    )
    assert low == pytest.approx(max(0.0, min(exact[0], over_seeds[0])))
    assert high == pytest.approx(min(1.0, max(exact[1], over_seeds[1])))


def test_the_band_of_one_seed_is_the_binomial_interval() -> None:
    assert band([90], [100]) == clopper_pearson(90, 100)


def test_the_band_stays_open_where_every_seed_scores_1() -> None:
    low, high = band([500, 500, 500], [500, 500, 500])
    assert 0.99 < low < 1
    assert high == 1


@given(st.floats(0, 0.99))
def test_normalised_capability_is_0_at_chance_and_1_when_perfect(chance: float) -> None:
    assert normalised([chance, 1.0], chance) == pytest.approx([0.0, 1.0])


@given(ACCURACIES, st.floats(0.05, 0.95))
def test_the_effective_length_is_the_last_of_the_lengths_that_all_pass(
    accuracies: list[float], threshold: float
) -> None:
    lengths = [64 * 2**index for index in range(len(accuracies))]
    passing = [
        lengths[index]
        for index in range(len(lengths))
        if min(accuracies[: index + 1]) >= threshold - 1e-9
    ]
    found = effective_length(lengths, accuracies, threshold)
    assert found.length == max(passing, default=0)
    assert (found.bound == "<") == (not passing)
    assert (found.bound == "≥") == (len(passing) == len(lengths))


@given(ACCURACIES, st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_higher_threshold_never_gives_a_longer_effective_length(
    accuracies: list[float], one: float, other: float
) -> None:
    lengths = list(range(1, len(accuracies) + 1))
    strict, lax = max(one, other), min(one, other)
    assert (
        effective_length(lengths, accuracies, strict).length
        <= effective_length(lengths, accuracies, lax).length
    )


def test_a_curve_that_dips_and_recovers_ends_at_the_dip() -> None:
    assert str(effective_length([64, 128, 256, 512], [1.0, 0.95, 0.89, 0.99])) == "128"


def test_a_mean_that_rounding_puts_just_under_the_threshold_passes() -> None:
    mean = np.mean([0.851, 0.9, 0.949])
    assert mean < 0.9
    assert str(effective_length([64], [mean])) == "≥ 64"


def test_a_capability_that_is_not_a_number_does_not_pass() -> None:
    assert str(effective_length([64, 128], [np.nan, 1.0])) == "< 64"


@given(
    st.floats(-3, 3),
    st.floats(1e-6, 1e3),
    st.lists(st.integers(1, 2**20), min_size=2, max_size=8, unique=True),
)
def test_a_power_law_is_found_again(
    exponent: float, coefficient: float, lengths: list[int]
) -> None:
    costs = [coefficient * float(length) ** exponent for length in lengths]
    fit = power_law(lengths, costs)
    spread = float(np.std(np.log(lengths)))
    assert fit.exponent == pytest.approx(exponent, abs=1e-9 / spread)
    assert fit.points == len(lengths)


@given(st.lists(st.floats(1e-6, 1e3), min_size=3, max_size=8))
def test_the_exponent_and_its_error_are_those_of_numpys_regression_on_logarithms(
    costs: list[float],
) -> None:
    lengths = [64 * 2**index for index in range(len(costs))]
    (slope, intercept), covariance = np.polyfit(np.log(lengths), np.log(costs), 1, cov=True)
    fit = power_law(lengths, costs)
    assert fit.exponent == pytest.approx(slope, abs=1e-9)
    assert fit.standard_error == pytest.approx(np.sqrt(covariance[0, 0]), abs=1e-7)
    assert np.log(fit.coefficient) == pytest.approx(intercept, abs=1e-6)


def test_two_points_give_an_exponent_without_an_error_and_one_gives_none() -> None:
    two, one = power_law([64, 128], [1.0, 2.0]), power_law([64], [1.0])
    assert two.exponent == pytest.approx(1.0)
    assert np.isnan(two.standard_error)
    assert np.isnan(one.exponent)


@pytest.mark.parametrize(
    ("lengths", "upper"),
    [
        ([64], [64]),
        ([64, 128], [64, 128]),
        ([1, 2, 4, 8], [2, 4, 8]),
        ([1, 2, 4, 8, 16, 32, 64], [8, 16, 32, 64]),
    ],
)
def test_exponents_are_fitted_over_the_upper_half_and_at_least_three_lengths(
    lengths: list[int], upper: list[int]
) -> None:
    assert lengths[upper_half(lengths)] == upper


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_area_under_a_curve_lies_between_its_ends_and_counts_doublings_alike(
    capability: list[float],
) -> None:
    lengths = [16 * 2**n for n in range(len(capability))]
    area = area_under_curve(lengths, capability)
    assert min(capability) - 1e-12 <= area <= max(capability) + 1e-12
    inner = capability[1:-1]
    expected = (capability[0] / 2 + sum(inner) + capability[-1] / 2) / (len(capability) - 1)
    assert area == pytest.approx(expected)
