"""Each task solved from its tokens alone, written from its definition and not from its generator.

An oracle also gives the place where each answer's fact was written.
"""

from collections.abc import Callable

from lengthwise.tasks.copying import Copying
from lengthwise.tasks.mqar import MQAR
from lengthwise.tasks.needle import Needle
from lengthwise.tasks.task import Task

Solution = tuple[list[int], list[int]]
"""The answers and where their facts were written."""


def solve_mqar(vocab_size: int, tokens: list[int], positions: list[int]) -> Solution:
    context = tokens[: 2 * len(positions)]
    written = {context[place]: place for place in range(0, len(context), 2)}
    assert len(written) == len(positions), "two pairs share a key"
    assert all(1 <= key < vocab_size // 2 <= context[written[key] + 1] for key in written)
    assert sorted(tokens[position] for position in positions) == sorted(written)
    facts = [written[tokens[position]] for position in positions]
    return [tokens[fact + 1] for fact in facts], facts


def solve_copying(vocab_size: int, tokens: list[int], positions: list[int]) -> Solution:
    blank, mark = vocab_size - 2, vocab_size - 1
    zone = tokens[: tokens.index(mark)]
    facts = [place for place, token in enumerate(zone) if token != blank]
    content = [zone[fact] for fact in facts]
    assert positions == list(range(len(zone), len(tokens)))
    assert tokens[len(zone) + 1 :] == content[:-1]
    return content, facts


def solve_needle(vocab_size: int, tokens: list[int], positions: list[int]) -> Solution:
    keys = range(1, (vocab_size - 1) // 3 + 1)
    query = tokens.index(0)
    haystack, key = tokens[:query], tokens[query + 1]
    written = [place for place, token in enumerate(haystack) if token in keys]
    assert len({haystack[place] for place in written}) == len(written), "two needles share a key"
    place = haystack.index(key)
    value = haystack[place + 1 : place + 1 + len(positions)]
    assert all(token in range(len(keys) + 1, 2 * len(keys) + 1) for token in value)
    assert tokens[query + 2 :] == value[:-1]
    assert positions == list(range(query + 1, len(tokens)))
    return value, [place] * len(value)


ORACLES: dict[type[Task], Callable[[int, list[int], list[int]], Solution]] = {
    MQAR: solve_mqar,
    Copying: solve_copying,
    Needle: solve_needle,
}
