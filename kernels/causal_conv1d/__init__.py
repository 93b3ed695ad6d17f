"""The short causal depthwise convolution that Mamba and DeltaNet put before their recurrence."""

from typing import Literal

from lengthwise.kernels.backends import compute, discover
from lengthwise.kernels.shapes import check_shapes
from torch import Tensor

BACKENDS = discover(__name__)


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    initial_state: Tensor | None = None,
    activation: Literal["silu"] | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Convolves each channel with its own filter over the present and the W − 1 tokens before it.

        y_t = activation(bias + Σ_{w < W} weight_w · x_{t − W + 1 + w})

    Differentiable in every tensor. Half-precision inputs are summed in float32; filters and bias
    may be float32 beside them, and every gradient comes in its own tensor's dtype.

    Args:
        x: input [B, T, E].
        weight: filters [E, W]; the last tap multiplies the present token.
        bias: [E]; None for none.
        initial_state: the W − 1 inputs before the first token [B, E, W−1], oldest first;
            None for zeros.
        activation: "silu" for z · σ(z) of the convolution z; None for the convolution itself.
        backend: the backend's name; chosen by device, dtype and shape unless given.

    Returns:
        The output [B, T, E] and the final state [B, E, W−1], the last W − 1 inputs, in x's dtype.

    Raises:
        ValueError: shapes that contradict each other, or an unknown activation.
        BackendUnavailableError: the backend asked for cannot compute this call.

    >>> import torch
    >>> x = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1)
    >>> output, state = causal_conv1d(x, torch.tensor([[10.0, 1.0]]))
    >>> output.flatten().tolist(), state.flatten().tolist()
    ([1.0, 12.0, 23.0], [3.0])
    """
    sizes = check_shapes("causal_conv1d", x=(x, "B T E"), weight=(weight, "E W"), bias=(bias, "E"))
    if initial_state is not None:
        expected = (sizes["B"], sizes["E"], sizes["W"] - 1)
        if initial_state.shape != expected:
            raise ValueError(
                f"causal_conv1d: initial_state must be [B, E, W−1] = {list(expected)}, "
                f"not {list(initial_state.shape)}"
            )
    if activation not in ("silu", None):
        raise ValueError(f"causal_conv1d: activation must be 'silu' or None, not {activation!r}")
    return compute("causal_conv1d", BACKENDS, backend, x, weight, bias, initial_state, activation)
