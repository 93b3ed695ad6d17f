"""Linear attention: softmax's kernel replaced by a product of feature maps."""

from typing import Literal

from lengthwise.architectures.layers import Linear, ShortConvolution, head_size
from lengthwise.architectures.mixer import Mixer, State
from lengthwise.kernels import linear_attention
from torch import Tensor


class LinearAttention(Mixer):
    """y_t = W_o (Σ_{s ≤ t} (φ(q_t)·φ(k_s)) v_s) / (Σ_{s ≤ t} φ(q_t)·φ(k_s)).

    The state is S = Σ φ(k_s) [v_s, 1]ᵀ, of constant size. With short convolutions q, k and v pass
    one with SiLU before φ, and the state also holds the last inputs of the convolution.

    Args:
        width: D.
        heads: number of heads; the head size is width / heads.
        feature_map: φ; `elu` is elu(x) + 1, the only one.
        conv_size: tokens that the short convolutions see; 0 for none.

    Raises:
        ValueError: the heads do not divide the width, or a negative conv_size.

    Source: Katharopoulos et al., Transformers are RNNs (arXiv 2006.16236).
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int = 2,
        feature_map: Literal["elu"] = "elu",  # noqa: ARG002
        conv_size: int = 0,
    ) -> None:
        super().__init__()
        if conv_size < 0:
            raise ValueError(f"conv_size: {conv_size} must be at least 0")
        self.head_size = head_size(width, heads)
        self.width = width
        self.heads = heads
        self.conv_size = conv_size
        self.project = Linear(width, 3 * width, bias=False)
        self.output = Linear(width, width, bias=False)
        self.convolution = ShortConvolution(3 * width, conv_size) if conv_size else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        qkv, recent = self.project(x), ()
        if self.convolution is not None:
            qkv, *recent = self.convolution(qkv, None if state is None else state[0])
        mixed, final = linear_attention(
            qkv, self.heads, initial_state=None if state is None else state[-1]
        )
        return self.output(mixed.flatten(2)), (*recent, final)

    def state_bytes(self, length: int) -> int:  # noqa: ARG002
        convolution = 3 * self.width * max(0, self.conv_size - 1)
        return 4 * (self.heads * self.head_size * (self.head_size + 1) + convolution)
