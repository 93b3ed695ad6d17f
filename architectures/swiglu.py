"""The gated feed-forward block."""

from lengthwise.architectures.layers import Linear
from lengthwise.architectures.mixer import ChannelMixer
from lengthwise.kernels import swiglu_linear
from torch import Tensor


class SwiGLU(ChannelMixer):
    """W_o (SiLU(W_g x) ⊙ W_u x).

    Args:
        width: D.
        expand: inner width over the width; 8/3 matches a 4 D block without a gate in parameters.

    Raises:
        ValueError: expand is not positive.

    Source: Shazeer, GLU Variants Improve Transformer (arXiv 2002.05202).
    """

    def __init__(self, width: int, *, expand: float = 8 / 3) -> None:
        super().__init__()
        if expand <= 0:
            raise ValueError(f"expand: {expand} must be positive")
        inner = max(8, round(expand * width / 8) * 8)
        self.project = Linear(width, 2 * inner, bias=False)
        self.output = Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.project(x).chunk(2, -1)
        return swiglu_linear(gate, up, self.output.weight)
