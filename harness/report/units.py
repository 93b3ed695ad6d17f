"""How numbers are written for people: lengths, bytes, seconds, accuracies, lists."""

import math
from collections.abc import Sequence

NOTHING = "–"


def tokens(length: float) -> str:
    """A length on an axis: plain up to 8,191, then in units of 2^10 and 2^20 where they divide it.

    >>> tokens(1024), tokens(16384), tokens(2**20), tokens(10000)
    ('1024', '16K', '1M', '10000')
    """
    number = int(length)
    if number >= 2**20 and number % 2**20 == 0:
        return f"{number >> 20}M"
    if number >= 8192 and number % 1024 == 0:
        return f"{number >> 10}K"
    return str(number)


def size(amount: float) -> str:
    """Bytes in binary units.

    >>> size(512), size(1536), size(2**20)
    ('512 B', '1.5 KiB', '1 MiB')
    """
    if not math.isfinite(amount):
        return NOTHING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.3g} {unit}"
        amount /= 1024
    return f"{amount:,.3g} TiB"


def seconds(duration: float) -> str:
    """A duration in the unit that keeps it short.

    >>> seconds(0.000_12), seconds(0.25), seconds(12), seconds(600), seconds(9000)
    ('120 µs', '250 ms', '12 s', '10 min', '2.5 h')
    """
    if not math.isfinite(duration):
        return NOTHING
    if duration == 0:
        return "0 s"
    for unit, scale, limit in (("µs", 1e6, 1e-3), ("ms", 1e3, 1.0), ("s", 1.0, 120.0)):
        if duration < limit:
            return f"{duration * scale:.3g} {unit}"
    return f"{duration / 60:.3g} min" if duration < 7200 else f"{duration / 3600:.3g} h"


def share(value: float) -> str:
    """An accuracy with three decimals.

    >>> share(0.98765), share(float("nan"))
    ('0.988', '–')
    """
    return f"{value:.3f}" if math.isfinite(value) else NOTHING


def count(number: float) -> str:
    """A whole number with thousands marked.

    >>> count(12345.0)
    '12,345'
    """
    return f"{number:,.0f}" if math.isfinite(number) else NOTHING


def multiple(ratio: float) -> str:
    """How many times the trained length.

    >>> multiple(8.0), multiple(1.5)
    ('8×', '1.5×')
    """
    return f"{ratio:.3g}×" if ratio < 1000 else f"{ratio:,.0f}×"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a sentence; of very many only the first few.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefgh"), most=3)
    ('a', 'a, b and c', 'a, b, c and 5 others')
    """
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def plural(number: int, noun: str) -> str:
    """A counted noun.

    >>> plural(1, "seed"), plural(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
