"""The whole model: token embedding, blocks of sequence and channel mixers, norm, head."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lengthwise.architectures.layers import Linear, RMSNorm
from lengthwise.architectures.mixer import ChannelMixer, Mixer, State
from lengthwise.kernels import embedding, linear_cross_entropy
from lengthwise.kernels.shapes import autocast_dtype
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelConfig:
    """What `build_model` builds."""

    vocab_size: int
    width: int
    layers: int
    mixers: Sequence[Callable[[int], Mixer]]
    """Makers of mixers, given the width; the layers take them in turn, so two make a hybrid."""
    channel_mixer: Callable[[int], ChannelMixer] | None = None
    """Maker of the channel mixer that follows each mixer; None for none."""
    tie_embeddings: bool = False
    """Whether the head's weight is the embedding's, then drawn from N(0, 0.02²)."""


class Block(nn.Module):
    """x ← x + mixer(norm(x)), then x ← x + channel_mixer(norm(x))."""

    def __init__(self, width: int, mixer: Mixer, channel_mixer: ChannelMixer | None) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(width)
        self.mixer = mixer
        self.channel_norm = None if channel_mixer is None else RMSNorm(width)
        self.channel_mixer = channel_mixer

    def mix_tokens(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        mixed, state = self.mixer(self.mixer_norm(x), state)
        return x + mixed, state

    def mix_channels(self, x: Tensor) -> Tensor:
        if self.channel_norm is None or self.channel_mixer is None:
            return x
        return x + self.channel_mixer(self.channel_norm(x))


class Model(nn.Module):
    """A causal sequence model that gives logits where it is asked for them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                config.mixers[layer % len(config.mixers)](config.width),
                config.channel_mixer and config.channel_mixer(config.width),
            )
            for layer in range(config.layers)
        )
        self.norm = RMSNorm(config.width)
        self.head = Linear(config.width, config.vocab_size, bias=False)
        if config.tie_embeddings:
            nn.init.normal_(self.embedding.weight, std=0.02)
            self.head.weight = self.embedding.weight

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        state: Sequence[State] | None = None,
    ) -> tuple[Tensor, tuple[State, ...]]:
        """Reads tokens [B, T] after what the state has seen.

        Args:
            tokens: [B, T] int64.
            positions: [B, A] int64, places in this piece; None for every place.
            state: what an earlier call returned; None at the beginning.

        Returns:
            Logits [B, A, vocab_size] for the token after each position, and one state a layer.
        """
        x, states = self._hidden(tokens, positions, state)
        return self.head(x), states

    def losses(self, tokens: Tensor, positions: Tensor, answers: Tensor) -> Tensor:
        """The cross-entropy of the answers with what `forward` gives, never forming its logits.

        Args:
            tokens: [B, T] int64.
            positions: [B, A] int64.
            answers: [B, A] int64, the token after each position.

        Returns:
            Losses [B, A] in nats, in float32; in float64 where the parameters are.
        """
        x, _ = self._hidden(tokens, positions, None)
        return linear_cross_entropy(x, self.head.weight, answers)

    def _hidden(
        self, tokens: Tensor, positions: Tensor | None, state: Sequence[State] | None
    ) -> tuple[Tensor, tuple[State, ...]]:
        """What the head reads [B, A, width], and one state a layer."""
        # The residual stream is in autocast's dtype from its beginning.
        dtype = autocast_dtype(tokens.device.type)
        x = embedding(self.embedding.weight, tokens, dtype=dtype)
        states: list[State] = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, after = block.mix_tokens(x, None if state is None else state[index])
            states.append(after)
            if positions is not None and index == len(self.blocks) - 1:
                # Beyond the last mixer every token stands alone: only the answers are needed.
                x = x.gather(1, positions[..., None].expand(*positions.shape, x.shape[-1]))
            x = block.mix_channels(x)
        return self.norm(x), tuple(states)

    def state_bytes(self, length: int) -> int:
        """Bytes that decoding one sequence must carry after `length` tokens, in float32."""
        mixers = (module for module in self.modules() if isinstance(module, Mixer))
        return sum(mixer.state_bytes(length) for mixer in mixers)

    def undecayed_parameters(self) -> set[str]:
        """Names of the parameters that weight decay leaves alone: vectors, and those exempted."""
        exempt = {
            f"{prefix}.{name}" if prefix else name
            for prefix, module in self.named_modules()
            for name in getattr(module, "undecayed", ())
        }
        return exempt | {name for name, each in self.named_parameters() if each.dim() < 2}


def build_model(config: ModelConfig) -> Model:
    """Builds the model on the CPU, its parameters drawn from torch's generator as it stands.

    >>> import torch
    >>> from lengthwise.architectures.gated_delta_net import GatedDeltaNet
    >>> model = build_model(ModelConfig(16, 8, 2, [GatedDeltaNet]))
    >>> logits, _ = model(torch.zeros(1, 5, dtype=torch.long), positions=torch.tensor([[4]]))
    >>> logits.shape
    torch.Size([1, 1, 16])
    """
    return Model(config)
