"""The selective scan: the state update of Mamba."""

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def selective_scan(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    delta_bias: Tensor | None = None,
    initial_state: Tensor | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Runs one diagonal, input-dependent linear recurrence a channel.

        h_t = exp(delta_t A) h_{t−1} + delta_t B_t x_t;   y_t = C_t · h_t + D x_t

    Differentiable in every tensor. Half-precision inputs keep a float32 state.

    Args:
        x: input [B, T, E].
        delta: step sizes [B, T, E], > 0 unless there is a delta_bias.
        A: diagonal of the transition [E, N], < 0.
        B: input weights [B, T, N].
        C: read-out weights [B, T, N].
        D: skip weight [E]; None for none.
        delta_bias: [E]; step sizes are then softplus(delta + delta_bias). None for delta itself.
        initial_state: the state before the first token [B, E, N]; None for zeros.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, T, E] in x's dtype and the final state [B, E, N].

    Raises:
        ValueError: shapes that contradict each other.
        BackendUnavailableError: the backend asked for cannot compute this call.

    Source: Gu and Dao, Mamba (arXiv 2312.00752), algorithm 2 with the simplified (Euler)
    discretisation of B that its code uses.

    >>> import torch
    >>> ones, no_decay = torch.ones(1, 3, 1), torch.zeros(1, 1)
    >>> selective_scan(ones, ones, no_decay, ones, ones)[0].flatten().tolist()
    [1.0, 2.0, 3.0]
    """
    check_shapes(
        "selective_scan",
        x=(x, "B T E"),
        delta=(delta, "B T E"),
        A=(A, "E N"),
        B=(B, "B T N"),
        C=(C, "B T N"),
        D=(D, "E"),
        delta_bias=(delta_bias, "E"),
        initial_state=(initial_state, "B E N"),
    )
    return compute(
        "selective_scan", BACKENDS, backend, x, delta, A, B, C, D, delta_bias, initial_state
    )
