"""Triton kernels of AdamW: a block of one member's parameters a program."""

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["steps"])
def sum_squares(gradients, squares, size, steps, SHARES: tl.constexpr, BLOCK: tl.constexpr):
    """squares [P, SHARES] of `steps` blocks each."""
    member = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * steps * BLOCK
    total = tl.zeros([BLOCK], tl.float32)
    for step in range(steps):
        at = first + step * BLOCK + tl.arange(0, BLOCK)
        gradient = tl.load(gradients + member * size + at, mask=at < size, other=0.0)
        total += gradient * gradient
    tl.store(squares + member * SHARES + tl.program_id(0), tl.sum(total))


@triton.jit
def _correction(beta, count):
    """1 − betaⁿ in float64; a beta of 0 has no logarithm, and its powers are as good as 1e-30's."""
    return 1 - tl.exp(count * tl.log(tl.maximum(beta, 1e-30)))


@triton.jit
def update(
    parameters, gradients, first_moments, second_moments, decayed, lr, weight_decay, beta1, beta2,
    step, clip, squares, size, eps,
    CLIP: tl.constexpr, SHARES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    member = tl.program_id(1).to(tl.int64)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = place < size
    at = member * size + place
    gradient = tl.load(gradients + at, mask=inside, other=0.0)
    if CLIP:
        norm = tl.sqrt(tl.sum(tl.load(squares + member * SHARES + tl.arange(0, SHARES))))
        limit = tl.load(clip + member).to(tl.float32)
        scale = limit / (norm + 1e-6)
        # A comparison keeps NaN, as clamp does; infinity over infinity is no limit.
        gradient *= tl.where((scale > 1) | (limit == float("inf")), 1.0, scale)
    first_rate = tl.load(beta1 + member).to(tl.float64)
    second_rate = tl.load(beta2 + member).to(tl.float64)
    count = tl.load(step).to(tl.float64) + 1
    rate = tl.load(lr + member).to(tl.float32)
    decay = rate * tl.load(weight_decay + member).to(tl.float32)
    shrunk = tl.load(decayed + place, mask=inside, other=0.0).to(tl.float32)
    first = tl.load(first_moments + at, mask=inside, other=0.0)
    second = tl.load(second_moments + at, mask=inside, other=0.0)
    parameter = tl.load(parameters + at, mask=inside, other=0.0)
    first += (1 - first_rate).to(tl.float32) * (gradient - first)
    second = second_rate.to(tl.float32) * second
    second += (1 - second_rate).to(tl.float32) * gradient * gradient
    root = tl.sqrt(second / _correction(second_rate, count).to(tl.float32)) + eps
    parameter *= 1 - decay * shrunk
    parameter -= rate / _correction(first_rate, count).to(tl.float32) * first / root
    tl.store(first_moments + at, first, mask=inside)
    tl.store(second_moments + at, second, mask=inside)
    tl.store(parameters + at, parameter, mask=inside)
