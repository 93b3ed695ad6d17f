"""Triton kernels of the linear cross-entropy: logits live in registers, a tile at a time.

Exponentials are to base 2, which the processor has: `lse` is log2 Σ_v 2^(logit_v · log2 e). A
program belongs to one member, so that none can spoil another. Rows of x are the rows of every tile
of logits: along its columns each thread would load what belongs to a row many times.
"""

import triton
import triton.language as tl
from lengthwise.kernels.gpu_tiles import load_columns, load_rows, store_rows

LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)
SIZES = ["rows", "vocabulary", "span"]


@triton.jit(do_not_specialize=SIZES)
def losses_of_rows(
    x, weight, answers, losses, lse, rows, vocabulary,
    D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr, BV: tl.constexpr,
    EVEN: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """Each row's loss and lse; the sum over the vocabulary is rescaled as its maximum grows."""
    member = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * BN
    columns = tl.arange(0, BD)
    weight += member * vocabulary * D
    tile = load_rows(x + (member * rows + first) * D, columns, rows - first, D, D, BN)
    most = tl.full([BN], float("-inf"), tl.float32)
    total = tl.zeros([BN], tl.float32)
    for start in range(0, vocabulary, BV):
        block = load_rows(weight + start * D, columns, vocabulary - start, D, D, BV)
        logits = tl.dot(tile, tl.trans(block), input_precision=DOT)
        if not EVEN:
            live = start + tl.arange(0, BV) < vocabulary
            logits = tl.where(live[None, :], logits, float("-inf"))
        higher = tl.maximum(most, tl.max(logits, 1))
        exponent = logits * LOG2E - (higher * LOG2E)[:, None]
        total = total * tl.exp2((most - higher) * LOG2E) + tl.sum(tl.exp2(exponent), 1)
        most = higher
    inside = first + tl.arange(0, BN) < rows
    at = member * rows + first + tl.arange(0, BN)
    answer = tl.load(answers + at, mask=inside, other=-1)
    known = (answer >= 0) & (answer < vocabulary)
    source = weight + answer[:, None] * D + columns[None, :]
    chosen = tl.load(source, mask=known[:, None] & (columns < D)[None, :], other=0.0)
    logit = tl.sum(tile.to(tl.float32) * chosen.to(tl.float32), 1)
    loss = tl.log2(total) * LN2 + (most - logit)
    # The answer's logit is summed in another order: a loss of 0 may come out as −1e-7.
    loss = tl.where(loss > float("-inf"), tl.maximum(loss, 0.0), loss)
    loss = tl.where(known, loss, float("nan"))
    tl.store(losses + at, loss, mask=inside)
    tl.store(lse + at, most * LOG2E + tl.log2(total), mask=inside)


@triton.jit(do_not_specialize=SIZES)
def gradient_of_rows(
    x, weight, answers, lse, gradient, dx, rows, vocabulary,
    D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr, BV: tl.constexpr,
    EVEN: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dx_n = g_n Σ_v (p_nv − [v = answer_n]) weight_v."""
    member = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * BN
    columns = tl.arange(0, BD)
    weight += member * vocabulary * D
    here = (member * rows + first) * D
    tile = load_rows(x + here, columns, rows - first, D, D, BN)
    inside = first + tl.arange(0, BN) < rows
    at = member * rows + first + tl.arange(0, BN)
    answer = tl.load(answers + at, mask=inside, other=-1).to(tl.int32)
    normaliser = tl.load(lse + at, mask=inside, other=float("inf"))
    result = tl.zeros([BN, BD], tl.float32)
    for start in range(0, vocabulary, BV):
        block = load_rows(weight + start * D, columns, vocabulary - start, D, D, BV)
        logits = tl.dot(tile, tl.trans(block), input_precision=DOT)
        p = tl.exp2(logits * LOG2E - normaliser[:, None])
        token = start + tl.arange(0, BV)
        if not EVEN:
            p = tl.where((token < vocabulary)[None, :], p, 0.0)
        p = tl.where(token[None, :] == answer[:, None], p - 1.0, p)
        result = tl.dot(p.to(block.dtype), block, result, input_precision=DOT)
    result *= tl.load(gradient + at, mask=inside, other=0.0)[:, None]
    store_rows(dx + here, result, columns, rows - first, D, D, BN)


@triton.jit(do_not_specialize=SIZES)
def gradient_of_weight(
    x, weight, answers, lse, gradient, shares, rows, vocabulary, span,
    D: tl.constexpr, BD: tl.constexpr, BN: tl.constexpr, BV: tl.constexpr, DOT: tl.constexpr,
):  # fmt: skip
    """dweight_v = Σ_n g_n (p_nv − [v = answer_n]) x_n over `span` rows: shares [P, S, V, D]."""
    start = tl.program_id(0) * BV
    split = tl.program_id(1)
    member = tl.program_id(2).to(tl.int64)
    columns = tl.arange(0, BD)
    token = start + tl.arange(0, BV)
    left = vocabulary - start
    block = load_columns(weight + (member * vocabulary + start) * D, columns, left, D, D, BV)
    end = tl.minimum(rows, (split + 1) * span)
    result = tl.zeros([BD, BV], tl.float32)
    for first in range(split * span, end, BN):
        tile = load_rows(x + (member * rows + first) * D, columns, end - first, D, D, BN)
        inside = first + tl.arange(0, BN) < end
        at = member * rows + first + tl.arange(0, BN)
        answer = tl.load(answers + at, mask=inside, other=-1).to(tl.int32)
        normaliser = tl.load(lse + at, mask=inside, other=float("inf"))
        of_loss = tl.load(gradient + at, mask=inside, other=0.0)
        logits = tl.dot(tile, block, input_precision=DOT)
        p = tl.exp2(logits * LOG2E - normaliser[:, None])
        p = tl.where(token[None, :] == answer[:, None], p - 1.0, p) * of_loss[:, None]
        result = tl.dot(tl.trans(tile), p.to(tile.dtype), result, input_precision=DOT)
    share = ((member * tl.num_programs(1) + split) * vocabulary + start) * D
    inside = (token < vocabulary)[None, :] & (columns < D)[:, None]
    target = shares + share + tl.arange(0, BV)[None, :] * D + columns[:, None]
    tl.store(target, result.to(shares.dtype.element_ty), mask=inside)
