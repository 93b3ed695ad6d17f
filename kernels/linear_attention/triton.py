"""Linear attention in Triton, for sequences shorter than a state carried along is made for.

Every gradient is summed in one order by one program: the same call gives the same bits. The
kernels, with the mathematics, are in `lengthwise.kernels.gpu_linear_attention`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, block, launching
from lengthwise.kernels.registration import OPERATORS, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

PREFERENCE = 30
LONGEST = 1024
"""Tokens: what is longer is cheaper by a state."""
WIDEST = 128
STAGES = 2

OPERATORS.define(
    "linear_attention_tiles(Tensor qkv, int heads, float eps) -> (Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "linear_attention_tiles_backward(Tensor qkv, Tensor output, Tensor inverses, Tensor gradient)"
    " -> Tensor"
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
"""By the largest head size they serve, as for softmax attention."""
VALUES = 64
"""Channels of a value that one program sums a final state of."""


def refusal(qkv: Tensor, heads: int, initial_state: Tensor | None, eps: float) -> str | None:  # noqa: ARG001
    """Computes half and single precision on an NVIDIA GPU, from no state."""
    if initial_state is not None:
        return "it starts from no state"
    if qkv.shape[1] > LONGEST:
        return f"it is made for up to {LONGEST} tokens"
    if qkv.shape[2] // (3 * heads) > WIDEST:
        return f"head sizes go up to {WIDEST}"
    return gpu.refusal(qkv)


def compute(qkv: Tensor, heads: int, _state: None, eps: float) -> tuple[Tensor, Tensor]:
    output, state, _ = torch.ops.lengthwise.linear_attention_tiles(qkv, heads, eps)
    return output, state


@dataclass(frozen=True)
class _Plan:
    """One call's grid, warps and arguments, the same for all of its kernels."""

    pairs: int
    blocks: int
    warps: int
    long: bool
    sizes: tuple[int, int]
    constants: dict[str, Any]


def _plan(qkv: Tensor, heads: int) -> _Plan:
    batch, length, channels = qkv.shape
    size = channels // (3 * heads)
    table = SINGLE if qkv.dtype == torch.float32 else HALF
    tiles = next(tiles for widest, tiles in table.items() if size <= widest)
    long = length > tiles.whole
    tokens = tiles.tokens if long else block(length)
    return _Plan(
        pairs=batch * heads,
        blocks=ceil_div(length, tokens),
        warps=max(1, tiles.warps * tokens // tiles.tokens),
        long=long,
        sizes=(length, heads),
        constants={"D": size, "BD": block(size), "C": tokens, "DOT": tiles.dot},
    )


def _forward(qkv: Tensor, heads: int, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    from lengthwise.kernels.gpu_linear_attention import attend, final_states

    output, state, inverses = _fake(qkv, heads, eps)
    plan, qkv = _plan(qkv, heads), qkv.contiguous()
    values = min(plan.constants["BD"], VALUES)
    with launching(qkv) as launch:
        launch(attend, plan.pairs * plan.blocks, warps=plan.warps, stages=STAGES)(
            qkv, output, inverses, eps, *plan.sizes, **plan.constants, LONG=plan.long
        )
        columns = ceil_div(plan.constants["D"], values)
        launch(final_states, plan.pairs, columns, warps=plan.warps, stages=STAGES)(
            qkv, state, *plan.sizes, **plan.constants, BV=values
        )
    return output, state, inverses


def _backward(qkv: Tensor, output: Tensor, inverses: Tensor, gradient: Tensor) -> Tensor:
    from lengthwise.kernels.gpu_linear_attention import attend_back, keys_back, queries_back

    qkv, output, inverses, gradient = (
        each.contiguous() for each in (qkv, output, inverses, gradient)
    )
    dqkv, plan = torch.empty_like(qkv), _plan(qkv, output.shape[2])
    with launching(qkv) as launch:
        if not plan.long:
            launch(attend_back, plan.pairs, warps=plan.warps, stages=STAGES)(
                qkv, inverses, gradient, dqkv, *plan.sizes, **plan.constants
            )
            return dqkv
        delta = torch.empty_like(inverses)
        blocks = plan.pairs * plan.blocks
        launch(queries_back, blocks, warps=plan.warps, stages=STAGES)(
            qkv, output, inverses, gradient, delta, dqkv, *plan.sizes, **plan.constants
        )
        launch(keys_back, blocks, warps=plan.warps, stages=STAGES)(
            qkv, inverses, gradient, delta, dqkv, *plan.sizes, **plan.constants
        )
    return dqkv


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], output[0], output[2])
    ctx.heads = inputs[1]


def _differentiate(
    ctx: Any, of_output: Tensor | None, of_state: Tensor | None, _inverses: None
) -> tuple[Tensor | None, None, None]:
    qkv, output, inverses = ctx.saved_tensors
    dqkv = None
    if of_output is not None:
        dqkv = torch.ops.lengthwise.linear_attention_tiles_backward(
            qkv, output, inverses, of_output
        )
    if of_state is not None:
        through_state = _back_from_state(qkv, ctx.heads, of_state)
        dqkv = through_state if dqkv is None else dqkv + through_state
    return dqkv, None, None


def _back_from_state(qkv: Tensor, heads: int, gradient: Tensor) -> Tensor:
    """dqkv of Σ_t φ(k_t) [v_t, 1], in torch: training asks for no gradient of a last state."""
    _, k, v = (each.float().unflatten(-1, (heads, -1)) for each in qkv.chunk(3, -1))
    grown = k.clamp(max=0).exp()
    of_products, of_sums = gradient[..., :-1], gradient[..., -1]
    of_features = torch.einsum("bthv,bhkv->bthk", v, of_products) + of_sums[:, None]
    of_values = torch.einsum("bthk,bhkv->bthv", grown + k.clamp(min=0), of_products)
    parts = torch.zeros_like(k), of_features * grown, of_values
    return torch.cat([each.flatten(2) for each in parts], -1).to(qkv.dtype)


def _fake(qkv: Tensor, heads: int, _eps: float) -> tuple[Tensor, Tensor, Tensor]:
    batch, length, channels = qkv.shape
    size = channels // (3 * heads)
    return (
        qkv.new_empty(batch, length, heads, size),
        qkv.new_empty(batch, heads, size, size + 1, dtype=torch.float32),
        qkv.new_empty(batch, heads, length, dtype=torch.float32),
    )


def _fake_backward(qkv: Tensor, *_: Tensor) -> Tensor:
    return qkv.new_empty(qkv.shape)


register(
    "linear_attention_tiles",
    _forward,
    _fake,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("linear_attention_tiles_backward", _backward, _fake_backward, devices=DEVICES)
