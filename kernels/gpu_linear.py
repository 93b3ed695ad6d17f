"""Which launches compute the gated delta rule and gated linear attention on a GPU.

Up to SEGMENT tokens one program walks a whole sequence: one launch forward, two backward. Longer
sequences are cut into segments that are walked side by side: three launches forward, four
backward. The delta rule takes one more, which inverts the systems of all chunks.
docs/kernels-triton.md has the mathematics, and what each launch reads and writes.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from lengthwise.kernels import gpu
from lengthwise.kernels.gpu import DEVICES, launching
from lengthwise.kernels.gpu_plan import Plan, plan
from lengthwise.kernels.registration import OPERATORS, contiguous, present, register
from lengthwise.kernels.shapes import ceil_div
from torch import Tensor

OPERATORS.define(
    "linear_state(Tensor q, Tensor k, Tensor v, Tensor? beta, Tensor? log_decay,"
    " Tensor? initial_state, float scale, bool keep)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
OPERATORS.define(
    "linear_state_backward(Tensor q, Tensor k, Tensor v, Tensor? beta, Tensor? log_decay,"
    " Tensor states, Tensor corrections, Tensor inverse, Tensor transitions,"
    " Tensor? output_gradient, Tensor? state_gradient, float scale)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


LARGEST_HEAD = 256


def refusal(q: Tensor, k: Tensor, v: Tensor, *others: Tensor | None) -> str | None:
    """Why neither operator can be computed with these tensors, or None when both can."""
    if max(q.shape[-1], v.shape[-1]) > LARGEST_HEAD:
        return f"head sizes go up to {LARGEST_HEAD}"
    return gpu.refusal(q, k, v, *others)


def apply(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """The gated delta rule, or with beta None gated linear attention."""
    dtype = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
    tensors = (q.to(dtype), k.to(dtype), v.to(dtype), beta, log_decay, initial_state)
    # Inside vmap a tensor does not tell whether a gradient will be asked for.
    keep = torch.is_grad_enabled()
    output, state, *_ = torch.ops.lengthwise.linear_state(*tensors, scale, keep)
    return output.to(v.dtype), state


def _outputs(q: Tensor, v: Tensor, call: Plan, keep: bool) -> list[Tensor]:
    """Room for the output, the final state, and what the backward pass reads."""
    batch, heads = q.shape[0], call.heads
    key_size, value_size = q.shape[-1], v.shape[-1]
    chunks, size = call.total_chunks, call.chunk_size
    delta, segmented = call.constants["DELTA"], call.segments > 1
    transition = {True: (key_size, key_size), False: (key_size,)}[delta]
    if not delta and call.constants["GATE"] < 2:
        transition = ()
    return [
        torch.empty_like(v, memory_format=torch.contiguous_format),
        q.new_empty(batch, heads, key_size, value_size, dtype=torch.float32),
        q.new_empty(batch, heads if keep else 0, chunks, key_size, value_size),
        v.new_empty(v.shape if keep and delta else (batch, 0)),
        q.new_empty(batch, heads if delta else 0, chunks, size, size, dtype=torch.float32),
        q.new_empty(
            batch, heads if segmented else 0, call.segments, *transition, dtype=torch.float32
        ),
    ]


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    log_decay: Tensor | None,
    initial_state: Tensor | None,
    scale: float,
    keep: bool,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_segments import summarise
    from lengthwise.kernels.gpu_states import walk
    from lengthwise.kernels.gpu_systems import invert_systems

    call = plan(q, v, log_decay, beta is not None)
    room = _outputs(q, v, call, keep)
    *_, inverse, transitions = room
    q, k, v, beta, log_decay, entering = contiguous(  # pyright: ignore[reportAssignmentType]
        q, k, v, beta, log_decay, initial_state
    )
    segmented = call.segments > 1
    constants = {name: call.constants[name] for name in ("K", "C", "GATE", "DOT")}
    forward = {"warps": call.warps[0], "stages": call.stages[0]}
    with launching(q) as launch:
        if beta is not None:
            launch(invert_systems, call.total_chunks, call.sequences, warps=1)(
                k, beta, log_decay, inverse, call.length, call.heads,
                **constants, BK=min(call.constants["BK"], 64),
            )  # fmt: skip
        if segmented:
            additions = _segment_states(q, v, call)
            blocks = call.value_blocks + _matrix_blocks(call)
            launch(summarise, call.grid[0], blocks, **forward)(
                k, v, beta, log_decay, inverse, transitions, additions,
                *call.sizes, **call.constants,
            )  # fmt: skip
            entering = _combine(launch, call, transitions, additions, entering, backward=False)
        launch(walk, *call.grid, **forward)(
            q, k, v, beta, log_decay, entering, *room[:5],
            *call.sizes, scale, **call.constants, INITIAL=entering is not None, KEEP=keep,
        )  # fmt: skip
        if keep and call.constants["GATE"] < 2:
            output, state, states, corrections, *_ = room
            inputs = (q, k, v, beta, log_decay)
            like = (output, states, corrections, state)
            _walk_back(launch, call, inputs, inverse, None, *like, scale, later=True)
            gradients = [q if each is None else each for each in inputs]
            _chunk_gradients(
                launch, call, inputs, corrections, states, output, corrections, states,
                gradients, scale, later=True,
            )  # fmt: skip
    return tuple(room)


def _matrix_blocks(call: Plan) -> int:
    return ceil_div(call.constants["K"], call.constants["BV"]) if call.constants["DELTA"] else 0


def _segment_states(q: Tensor, v: Tensor, call: Plan) -> Tensor:
    shape = (call.sequences, call.segments, q.shape[-1], v.shape[-1])
    return q.new_empty(shape, dtype=torch.float32)


def _combine(
    launch: Callable[..., Callable[..., None]],
    call: Plan,
    transitions: Tensor,
    additions: Tensor,
    start: Tensor | None,
    *,
    backward: bool,
) -> Tensor:
    from lengthwise.kernels.gpu_segments import combine

    entering = torch.empty_like(additions)
    constants = {**call.constants, "BV": 16}
    del constants["C"]
    constants["DOT"] = "tf32x3"
    launch(combine, call.sequences, ceil_div(constants["V"], 16), warps=4, stages=2)(
        transitions, additions, start, entering, call.segments, **constants,
        START=start is not None, BACKWARD=backward,
    )  # fmt: skip
    return entering


def _backward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor | None,
    log_decay: Tensor | None,
    states: Tensor,
    corrections: Tensor,
    inverse: Tensor,
    transitions: Tensor,
    output_gradient: Tensor | None,
    state_gradient: Tensor | None,
    scale: float,
) -> tuple[Tensor, ...]:
    from lengthwise.kernels.gpu_gradients import channel_gradients

    call = plan(q, v, log_decay, beta is not None)
    q, k, v, beta, log_decay, leaving = contiguous(  # pyright: ignore[reportAssignmentType]
        q, k, v, beta, log_decay, state_gradient
    )
    dy = torch.zeros_like(v) if output_gradient is None else output_gradient.contiguous()
    room = _gradients(q, k, v, beta, log_decay)
    dq, dk, dv, _, dlog_decay, initial_gradient = room
    state_gradients, correction_gradients = map(torch.empty_like, (states, corrections))
    inputs = (q, k, v, beta, log_decay)
    with launching(q) as launch:
        if call.segments > 1:
            additions = _segment_states(q, v, call)
            summary = (None, dy, None, None, additions)
            _walk_back(launch, call, inputs, inverse, *summary, scale, summary=True)
            leaving = _combine(launch, call, transitions, additions, leaving, backward=True)
        walked = (leaving, dy, state_gradients, correction_gradients, initial_gradient)
        _walk_back(launch, call, inputs, inverse, *walked, scale)
        if call.constants["GATE"] < 2:
            _chunk_gradients(
                launch, call, inputs, corrections, states, dy,
                correction_gradients, state_gradients, room[:5], scale,
            )  # fmt: skip
        else:
            key_block, value_block = call.gradient_blocks
            constants = {**call.constants, "BK": key_block, "BV": value_block}
            del constants["GATE"], constants["DELTA"]
            options = {"warps": call.warps[2], "stages": call.stages[2]}
            launch(channel_gradients, call.total_chunks, call.sequences, **options)(
                q, k, v, log_decay, states, dy, state_gradients, dq, dk, dv,
                dlog_decay, call.length, call.heads, scale, **constants,
            )  # fmt: skip
    return tuple(room)


def _walk_back(
    launch: Callable[..., Callable[..., None]], call: Plan, inputs: tuple[Tensor | None, ...],
    inverse: Tensor, leaving: Tensor | None, output_gradient: Tensor,
    state_gradients: Tensor | None, correction_gradients: Tensor | None, last: Tensor,
    scale: float, *, summary: bool = False, later: bool = False,
) -> None:  # fmt: skip
    from lengthwise.kernels.gpu_states import walk_back

    q, k, _, beta, log_decay = inputs
    options = {"warps": call.warps[1], "stages": call.stages[1], "later": later}
    launch(walk_back, *call.grid, **options)(
        q, k, beta, log_decay, inverse, output_gradient, leaving,
        state_gradients, correction_gradients, last, *call.sizes, scale, **call.constants,
        LEAVING=leaving is not None, SUMMARY=summary,
    )  # fmt: skip


def _chunk_gradients(
    launch: Callable[..., Callable[..., None]], call: Plan, inputs: tuple[Tensor | None, ...],
    corrections: Tensor, states: Tensor, output_gradient: Tensor, correction_gradients: Tensor,
    state_gradients: Tensor, gradients: Iterable[Tensor | None], scale: float, *,
    later: bool = False,
) -> None:  # fmt: skip
    from lengthwise.kernels.gpu_gradients import chunk_gradients

    key_block, value_block = call.gradient_blocks
    constants = {**call.constants, "BK": key_block, "BV": value_block}
    constants["SUM"] = constants["DOT"]
    options = {"warps": call.warps[2], "stages": call.stages[2], "later": later}
    launch(chunk_gradients, call.total_chunks, call.sequences, **options)(
        *inputs, corrections, states, output_gradient, correction_gradients, state_gradients,
        *gradients, call.length, call.heads, scale, **constants,
    )  # fmt: skip


def _gradients(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor | None, log_decay: Tensor | None
) -> list[Tensor]:
    """Room for the gradients; what there is no input for gets none."""
    batch, _, heads, key_size = q.shape
    none = q.new_empty(batch, 0)
    like = [none if each is None else each for each in (q, k, v, beta, log_decay)]
    state = q.new_empty(batch, heads, key_size, v.shape[-1], dtype=torch.float32)
    return [*(each.new_empty(each.shape) for each in like), state]


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, initial_state, ctx.scale, _ = inputs
    ctx.state_dtype = None if initial_state is None else initial_state.dtype
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors, *output[2:])


def _differentiate(ctx: Any, output: Tensor | None, state: Tensor | None, *_: Any) -> Any:
    inputs = ctx.saved_tensors
    *gradients, initial = torch.ops.lengthwise.linear_state_backward(
        *inputs, output, state, ctx.scale
    )
    return (
        *present(inputs[:5], gradients),
        None if ctx.state_dtype is None else initial.to(ctx.state_dtype),
        None,
        None,
    )


def _fake_forward(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, ...]:  # noqa: ARG001
    beta, log_decay, *_, keep = rest
    return tuple(_outputs(q, v, plan(q, v, log_decay, beta is not None), keep))


def _fake_backward(*inputs: Any) -> tuple[Tensor, ...]:
    return tuple(_gradients(*inputs[:5]))


register(
    "linear_state",
    _forward,
    _fake_forward,
    devices=DEVICES,
    remember=_remember,
    differentiate=_differentiate,
)
register("linear_state_backward", _backward, _fake_backward, devices=DEVICES)
