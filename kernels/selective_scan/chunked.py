"""The selective scan with all chunks side by side, in torch operations: any device, differentiable.

The T steps become C steps, each over every chunk at once and from a zero state, and then T / C
steps that carry the state from chunk to chunk. A carried state reaches position i of its chunk as
exp(G_i) h₀, where G is the cumulative delta · A; all exponents are ≤ 0, so nothing overflows.
"""

import torch
import torch.nn.functional as F
from lengthwise.kernels.selective_scan.steps import step_sizes
from lengthwise.kernels.shapes import state_dtype
from torch import Tensor

PREFERENCE = 10
CHUNK_SIZE = 64


def refusal(*_args: object) -> None:
    """Computes everything."""


def compute(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor]:
    dtype = state_dtype(x.dtype)
    batch, length, channels = x.shape
    size = min(CHUNK_SIZE, length)
    steps = step_sizes(delta, delta_bias)
    inputs, step, write, read = (_to_chunks(each.to(dtype), size) for each in (x, steps, B, C))
    A = A.to(dtype)

    local = inputs.new_zeros(batch, inputs.shape[1], channels, A.shape[-1])
    outputs: list[Tensor] = []
    # Unbound and not indexed: the gradient of an index is a tensor of the whole input's size.
    columns = zip(*(each.unbind(2) for each in (inputs, step, write, read)), strict=True)
    for x_i, delta_i, B_i, C_i in columns:
        decay = (delta_i[..., None] * A).exp()
        local = decay * local + (delta_i * x_i)[..., None] * B_i[:, :, None, :]
        outputs.append((local @ C_i[..., None]).squeeze(-1))
    output = torch.stack(outputs, 2)

    if initial_state is None and inputs.shape[1] == 1:
        state = local[:, 0]
    else:
        cumulative = step.cumsum(2)
        if initial_state is None:
            initial_state = inputs.new_zeros(batch, channels, A.shape[-1])
        state = initial_state.to(dtype)
        whole = (cumulative[:, :, -1, :, None] * A).exp()
        entering: list[Tensor] = []
        for n in range(inputs.shape[1]):
            entering.append(state)
            state = whole[:, n] * state + local[:, n]
        carried = torch.stack(entering, 1)
        reached = (cumulative[..., None] * A).exp() * carried[:, :, None]
        output = output + (reached @ read[..., None]).squeeze(-1)

    output = output.flatten(1, 2)[:, :length]
    if D is not None:
        output = output + D.to(dtype) * x.to(dtype)
    return output.to(x.dtype), state


def _to_chunks(tensor: Tensor, size: int) -> Tensor:
    """[B, T, ...] → [B, N, C, ...]; padding has delta = 0, which leaves the state as it is."""
    padding = -tensor.shape[1] % size
    if padding:
        tensor = F.pad(tensor, (0, 0, 0, padding))
    return tensor.reshape(tensor.shape[0], -1, size, tensor.shape[2])
