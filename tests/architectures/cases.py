"""Every built-in mixer in every form it has."""

from collections.abc import Callable
from functools import partial

from lengthwise.architectures.attention import Attention
from lengthwise.architectures.gated_delta_net import GatedDeltaNet
from lengthwise.architectures.linear_attention import LinearAttention
from lengthwise.architectures.mamba import Mamba
from lengthwise.architectures.mixer import Mixer

WIDTH = 16

MIXERS: dict[str, Callable[[int], Mixer]] = {
    "attention-rope": Attention,
    "attention-nope": partial(Attention, positions="nope", heads=4),
    "attention-alibi": partial(Attention, positions="alibi", heads=4),
    "attention-learned": partial(Attention, positions="learned", heads=1),
    "linear-attention": LinearAttention,
    "linear-attention-with-convolution": partial(LinearAttention, conv_size=4, heads=4),
    "mamba": partial(Mamba, state_size=5),
    "mamba-without-convolution": partial(Mamba, conv_size=1, expand=1),
    "gated-delta-net": GatedDeltaNet,
    "gated-delta-net-without-convolution": partial(GatedDeltaNet, conv_size=1, heads=4),
}
