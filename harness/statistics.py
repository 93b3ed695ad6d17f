"""The numbers of the report: intervals, bands, effective lengths, exponents. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95
THRESHOLD = 0.9

Interval = tuple[float, float]


def clopper_pearson(correct: int, answers: int, confidence: float = CONFIDENCE) -> Interval:
    """The exact binomial interval of a proportion: it covers the truth at least that often.

    With α = 1 − confidence, k correct of n, and B the quantile function of the beta distribution:
    low = B(α/2; k, n − k + 1) and high = B(1 − α/2; k + 1, n − k); low is 0 at k = 0, high is 1
    at k = n. It takes answers as independent draws; answers of one example share their context, so
    it never stands alone where there are seeds to compare (see `band`).

    Source: Clopper and Pearson, Biometrika 26 (1934).

    >>> low, high = clopper_pearson(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.555, 0.997)
    """
    if not 0 <= correct <= answers or answers == 0:
        raise ValueError(f"{correct} correct of {answers} answers is no proportion")
    tail = (1 - confidence) / 2
    low = betaincinv(correct, answers - correct + 1, tail) if correct > 0 else 0.0
    high = betaincinv(correct + 1, answers - correct, 1 - tail) if correct < answers else 1.0
    return float(low), float(high)


def t_interval(values: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's interval of the mean of seeds: mean ± t(n − 1)·s/√n; NaN for fewer than two.

    >>> low, high = t_interval([0.8, 0.9, 1.0])
    >>> round(low, 3), round(high, 3)
    (0.652, 1.148)
    """
    sample = np.asarray(values, dtype=float)
    count = len(sample)
    if count < 2:
        return float("nan"), float("nan")
    quantile = stdtrit(count - 1, (1 + confidence) / 2)
    half = float(quantile * sample.std(ddof=1) / np.sqrt(count))
    mean = float(sample.mean())
    return mean - half, mean + half


def band(correct: ArrayLike, answers: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The band of a curve at one length, from each seed's counts.

    At each end the wider of two intervals, clipped to [0, 1]: the exact binomial interval of the
    pooled counts (what the examples leave open; it stays open when every seed scores 1) and the
    t interval over seeds (what the initial weights and data order leave open). One seed has only
    the first, which says nothing about other seeds.

    >>> low, high = band([100, 100, 100], [100, 100, 100])
    >>> round(low, 3), high
    (0.988, 1.0)
    """
    right, asked = np.asarray(correct), np.asarray(answers)
    pooled = clopper_pearson(int(right.sum()), int(asked.sum()), confidence)
    seeds = t_interval(right / asked, confidence)
    low, high = np.fmin(pooled[0], seeds[0]), np.fmax(pooled[1], seeds[1])
    return float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1))


def normalised(accuracy: ArrayLike, chance: ArrayLike) -> NDArray[np.float64]:
    """Capability above chance: (accuracy − chance)/(1 − chance); 0 is guessing, 1 is perfect.

    >>> float(normalised(0.75, 0.5))
    0.5
    """
    guess = np.asarray(chance, dtype=float)
    return (np.asarray(accuracy, dtype=float) - guess) / (1 - guess)


@dataclass(frozen=True, order=True)
class EffectiveLength:
    """How far a capability holds, in tokens, among the lengths that were evaluated."""

    length: int
    """The longest length up to which it holds; 0 when it fails at the shortest."""
    shortest: int
    longest: int

    @property
    def bound(self) -> str:
        """'<' where it fails at the shortest length, '≥' where it holds at the longest."""
        if self.length == 0:
            return "<"
        return "≥" if self.length == self.longest else ""

    @property
    def value(self) -> int:
        """The number that `bound` refers to."""
        return self.length or self.shortest

    def __str__(self) -> str:
        return f"{self.bound} {self.value:,}".strip()


def effective_length(
    lengths: Sequence[int] | NDArray[np.int64],
    capability: ArrayLike,
    threshold: float = THRESHOLD,
) -> EffectiveLength:
    """The longest evaluated length up to which capability stays at or above the threshold.

    Every shorter length must pass too: a curve that dips and recovers ends at the dip.

    Args:
        lengths: evaluated lengths in tokens, ascending, at least one.
        capability: one accuracy a length.
        threshold: the least capability that passes.

    >>> str(effective_length([64, 128, 256], [1.0, 0.95, 0.4]))
    '128'
    >>> str(effective_length([64, 128], [1.0, 0.9])), str(effective_length([64, 128], [0.8, 1.0]))
    ('≥ 128', '< 64')
    """
    # The mean of 0.851, 0.9 and 0.949 is 0.8999999999999999 in float64; it passes 0.9.
    passes = np.asarray(capability, dtype=float) >= threshold - 1e-9
    held = len(passes) if passes.all() else int(np.argmin(passes))
    return EffectiveLength(
        length=int(lengths[held - 1]) if held else 0,
        shortest=int(lengths[0]),
        longest=int(lengths[-1]),
    )


@dataclass(frozen=True)
class PowerLaw:
    """cost ≈ coefficient · length^exponent."""

    exponent: float
    standard_error: float
    """Of the exponent; NaN with fewer than three points."""
    coefficient: float
    points: int


def power_law(lengths: ArrayLike, costs: ArrayLike) -> PowerLaw:
    """Least squares on logarithms: log cost = log coefficient + exponent · log length.

    The standard error is √(RSS/(n − 2)/Σ(x − x̄)²) with x = log length. All costs and lengths must
    be positive; fewer than two lengths give NaN.

    >>> fit = power_law([256, 512, 1024], [1.0, 4.0, 16.0])
    >>> round(fit.exponent, 6)
    2.0
    """
    x, y = np.log(np.asarray(lengths, dtype=float)), np.log(np.asarray(costs, dtype=float))
    nan = float("nan")
    if len(np.unique(x)) < 2:
        return PowerLaw(nan, nan, nan, len(x))
    centred = x - x.mean()
    spread = float(centred @ centred)
    exponent = float(centred @ y) / spread
    residual = y - y.mean() - exponent * centred
    error = float(np.sqrt(residual @ residual / (len(x) - 2) / spread)) if len(x) > 2 else nan
    return PowerLaw(exponent, error, float(np.exp(y.mean() - exponent * x.mean())), len(x))


def upper_half(lengths: Sequence[int] | NDArray[np.int64]) -> slice:
    """Where an exponent is fitted: the longer half of ascending lengths, at least three if there.

    At short lengths fixed costs hide the growth; fewer than three points have no standard error.

    >>> [64, 128, 256, 512, 1024][upper_half([64, 128, 256, 512, 1024])]
    [256, 512, 1024]
    """
    count = len(lengths)
    return slice(count - min(count, max(3, (count + 1) // 2)), count)


def area_under_curve(lengths: Sequence[int] | NDArray[np.int64], capability: ArrayLike) -> float:
    """The area under capability against log2 length, over the width of the lengths: in [0, 1].

    Trapezoids between the evaluated lengths, so that doubling the context counts the same
    anywhere; of one length alone it is the capability there.

    >>> area_under_curve([64, 128, 512], [1.0, 1.0, 0.5])
    0.8333333333333334
    """
    x, y = np.log2(np.asarray(lengths, dtype=float)), np.asarray(capability, dtype=float)
    return float(np.trapezoid(y, x) / (x[-1] - x[0])) if len(x) > 1 else float(y[0])
