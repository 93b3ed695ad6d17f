"""Causal softmax attention in Triton, for sequences shorter than torch's kernels are made for.

Every gradient is summed in one order by one program: the same call gives the same bits. The
kernels are in `lengthwise.kernels.gpu_attention`; docs/kernels-triton.md has the mathematics.
"""

from dataclasses import dataclass
from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import autocast_dtype, ceil_div
from torch import Tensor

PREFERENCE = 30
LONGEST = 1024
"""Tokens: torch's kernels take what is longer."""
WIDEST = 128
STAGES = 2

OPERATORS.define("attend_tiles(Tensor q, Tensor k, Tensor v) -> (Tensor, Tensor)")
OPERATORS.define(
    "attend_tiles_backward(Tensor q, Tensor k, Tensor v, Tensor output, Tensor lse,"
    " Tensor gradient) -> (Tensor, Tensor, Tensor)"
)


@dataclass(frozen=True)
class Tiles:
    """How sequences are cut, for one dtype and head size."""

    whole: int
    """The longest sequence, padded to a power of two, that one program holds."""
    tokens: int
    """Of a block of a longer one."""
    warps: int
    """Of a block of so many tokens; of others in proportion."""
    dot: str = "tf32"
    """How float32 is multiplied; half precision always exactly."""


HALF = {32: Tiles(64, 64, 2), 64: Tiles(128, 64, 4), 128: Tiles(64, 64, 8)}
SINGLE = {32: Tiles(64, 32, 8, "ieee"), 128: Tiles(32, 32, 8, "ieee")}
"""By the largest head size they serve: none of their programs spills a register.

Two warps up to 32 channels: products of a warp group of four went wrong there (decision 0010).
"""


def refusal(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> str | None:
    """Computes causal attention in half and single precision on an NVIDIA GPU."""
    if bias is not None:
        return "it adds no bias"
    if not causal:
        return "it computes causal attention only"
    if q.shape[2] > LONGEST:
        return f"it is made for up to {LONGEST} tokens"
    if max(q.shape[3], v.shape[3]) > WIDEST:
        return f"head sizes go up to {WIDEST}"
    return gpu.refusal(q, k, v)


def compute(q: Tensor, k: Tensor, v: Tensor, _bias: None, _causal: bool) -> Tensor:
    dtype = autocast_dtype(q.device.type) or q.dtype
    return torch.ops.lengthwise.attend_tiles(q.to(dtype), k.to(dtype), v.to(dtype))[0]


def _readable(x: Tensor) -> Tensor:
    """Channels side by side, and no distance inside a sequence beyond 32 bits."""
    farthest = max(x.shape[1] * x.stride(1), x.shape[2] * x.stride(2))
    return x if x.stride(3) == 1 and farthest < 2**31 else x.contiguous()


def _strides(x: Tensor) -> list[int]:
    """Numbers between sequences, heads and tokens; 0 where there is one: it spoils no alignment."""
    return [x.stride(dim) if x.shape[dim] > 1 else 0 for dim in range(3)]


def _room(like: Tensor, width: int) -> Tensor:
    """[B, H, T, width] that lies in memory as [B, T, H, width], as projections give and take it."""
    batch, heads, length, _ = like.shape
    return like.new_empty(batch, length, heads, width).transpose(1, 2)


@dataclass(frozen=True)
class _Plan:
    """One call's grid, warps and arguments, the same for all of its kernels."""

    grid: int
    warps: int
    long: bool
    sizes: list[int]
    constants: dict[str, Any]


def _plan(q: Tensor, k: Tensor, v: Tensor) -> _Plan:
    batch, heads, length, key_size = q.shape
    value_size = v.shape[3]
    widest = max(key_size, value_size)
    table = SINGLE if q.dtype == torch.float32 else HALF
    tiles = next(tiles for size, tiles in table.items() if widest <= size)
    long = length > tiles.whole
    tokens = tiles.tokens if long else block(length)
    return _Plan(
        grid=batch * heads * ceil_div(length, tokens),
        warps=max(1, tiles.warps * tokens // tiles.tokens),
        long=long,
        sizes=[*_strides(q), *_strides(k), *_strides(v), length, heads],
        constants={
            "SCALE": key_size**-0.5, "K": key_size, "V": value_size,
            "BK": block(key_size), "BV": block(value_size), "C": tokens, "DOT": tiles.dot,
        },
    )  # fmt: skip


def _launch(plan: _Plan, *calls: tuple[Any, ...], **constants: Any) -> None:
    """Launches kernels, each given with its tensors, the first of which is on the GPU meant."""
    with launching(calls[0][1]) as launch:
        for kernel, *tensors in calls:
            launch(kernel, plan.grid, warps=plan.warps, stages=STAGES)(
                *tensors, *plan.sizes, **plan.constants, **constants
            )


def _forward(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    from lengthwise.kernels.gpu_attention import attend

    q, k, v = _readable(q), _readable(k), _readable(v)
    output, lse = _fake(q, k, v)
    plan = _plan(q, k, v)
    _launch(plan, (attend, q, k, v, output, lse), LONG=plan.long)
    return output, lse


def _backward(
    q: Tensor, k: Tensor, v: Tensor, output: Tensor, lse: Tensor, gradient: Tensor
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_attention import attend_back, keys_back, queries_back

    q, k, v = _readable(q), _readable(k), _readable(v)
    output, gradient = (each.transpose(1, 2).contiguous() for each in (output, gradient))
    lse = lse.contiguous()
    dq, dk, dv = gradients = _fake_backward(q, k, v)
    plan = _plan(q, k, v)
    if not plan.long:
        _launch(plan, (attend_back, q, k, v, lse, gradient, dq, dk, dv))
        return gradients
    delta = torch.empty_like(lse)
    _launch(
        plan,
        (queries_back, q, k, v, output, lse, gradient, delta, dq),
        (keys_back, q, k, v, lse, gradient, delta, dk, dv),
    )
    return gradients


def _remember(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *output)


def _differentiate(ctx: Any, gradient: Tensor, _lse: Tensor | None) -> Any:
    return torch.ops.lengthwise.attend_tiles_backward(*ctx.saved_tensors, gradient)


def _fake(q: Tensor, _k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return _room(q, v.shape[3]), q.new_empty(q.shape[:3], dtype=torch.float32)


def _fake_backward(q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
    return tuple(_room(each, each.shape[3]) for each in (q, k, v))


register(
    "attend_tiles",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("attend_tiles_backward", _backward, _fake_backward, devices=DEVICES)
