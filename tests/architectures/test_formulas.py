"""Mixers against their formulas, written out token by token, and other people's code."""

import math

import pytest
import torch
from lengthwise.architectures.attention import Attention, rotate
from lengthwise.architectures.linear_attention import LinearAttention
from lengthwise.architectures.mamba import Mamba
from torch import Tensor

from tests.architectures.cases import WIDTH

HEADS = 2
LENGTH = 13


def projected(mixer: Attention | LinearAttention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """q, k, v [H, T, K] of one sequence."""
    q, k, v = (heads(each) for each in (x[0] @ mixer.project.weight.mT).chunk(3, -1))
    return q, k, v


@pytest.mark.parametrize("positions", ["rope", "nope", "alibi", "learned"])
def test_attention_is_its_formula(positions: str) -> None:
    mixer = Attention(WIDTH, heads=HEADS, positions=positions).double()  # pyright: ignore[reportArgumentType]
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = projected(mixer, x + mixer.places[:LENGTH] if positions == "learned" else x)
    size = WIDTH // HEADS
    outputs = torch.zeros(HEADS, LENGTH, size, dtype=torch.float64)
    for head in range(HEADS):
        for t in range(LENGTH):
            logits: list[Tensor] = []
            for s in range(t + 1):
                query, key = q[head, t], k[head, s]
                if positions == "rope":
                    query, key = turned(query, t), turned(key, s)
                logit = query @ key / math.sqrt(size)
                if positions == "alibi":
                    logit = logit - 2 ** (-8 * (head + 1) / HEADS) * (t - s)
                logits.append(logit)
            outputs[head, t] = torch.stack(logits).softmax(0) @ v[head, : t + 1]
    expected = outputs.transpose(0, 1).flatten(1) @ mixer.output.weight.mT
    torch.testing.assert_close(mixer(x)[0][0], expected)


def heads(x: Tensor) -> Tensor:
    """[T, D] → [H, T, K]."""
    return x.view(LENGTH, HEADS, -1).transpose(0, 1)


def convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """SiLU of each channel's filter over the present token and those before it, [T, D]."""
    rows: list[Tensor] = []
    for t in range(len(x)):
        taps = [(t - w, weight[:, -1 - w]) for w in range(weight.shape[1]) if t >= w]
        rows.append(bias + torch.stack([x[at] * tap for at, tap in taps]).sum(0))
    total = torch.stack(rows)
    return total * total.sigmoid()


def turned(vector: Tensor, position: int) -> Tensor:
    """Rotary positions as complex numbers: pair i turns by position · 10000^(−2i/K)."""
    half = len(vector) // 2
    pairs = torch.complex(vector[:half], vector[half:])
    angles = [position * 10_000.0 ** (-2 * i / len(vector)) for i in range(half)]
    turned = pairs * torch.tensor([complex(math.cos(a), math.sin(a)) for a in angles])
    return torch.cat([turned.real, turned.imag])


def test_rotated_products_depend_on_the_distance_alone() -> None:
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    near = (rotate(q, 7, 1e4) * rotate(k, 3, 1e4)).sum()
    far = (rotate(q, 100_007, 1e4) * rotate(k, 100_003, 1e4)).sum()
    torch.testing.assert_close(near, far)


def test_learned_positions_say_how_many_they_would_have_to_be() -> None:
    mixer = Attention(WIDTH, positions="learned", max_positions=10)
    _, state = mixer(torch.randn(1, 10, WIDTH))
    for act in (
        lambda: mixer(torch.randn(1, 1, WIDTH), state),
        lambda: mixer(torch.randn(1, 11, WIDTH)),
        lambda: mixer.state_bytes(11),
    ):
        with pytest.raises(ValueError, match=r"max_positions: 10 .* raise max_positions to 11"):
            act()
    with pytest.raises(ValueError, match="max_positions: 0 must be at least 1"):
        Attention(WIDTH, positions="learned", max_positions=0)


def test_a_convolution_of_fewer_than_no_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="conv_size: -1 must be at least 0"):
        LinearAttention(WIDTH, conv_size=-1)


@pytest.mark.parametrize("conv_size", [0, 1, 4])
def test_linear_attention_is_its_formula(conv_size: int) -> None:
    mixer = LinearAttention(WIDTH, heads=HEADS, conv_size=conv_size).double()
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = projected(mixer, x)
    if mixer.convolution is not None:
        weight, bias = mixer.convolution.weight, mixer.convolution.bias
        q, k, v = (
            heads(convolved(whole, weight.chunk(3)[n], bias.chunk(3)[n]))
            for n, whole in enumerate((x[0] @ mixer.project.weight.mT).chunk(3, -1))
        )
    q, k = (torch.where(each > 0, each + 1, each.exp()) for each in (q, k))
    weights = (q @ k.mT).tril()
    mixed = weights @ v / weights.sum(-1, keepdim=True)
    expected = mixed.transpose(0, 1).flatten(1) @ mixer.output.weight.mT
    torch.testing.assert_close(mixer(x)[0][0], expected, rtol=1e-5, atol=1e-6)


def test_mamba_equals_the_one_in_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="the test extra brings transformers")
    theirs_module = pytest.importorskip("transformers.models.mamba.modeling_mamba")
    config = transformers.MambaConfig(
        hidden_size=WIDTH, state_size=5, conv_kernel=4, expand=2, use_bias=False, use_conv_bias=True
    )
    theirs = theirs_module.MambaMixer(config, layer_idx=0)
    ours = Mamba(WIDTH, state_size=5)
    weights = {
        "project.weight": theirs.in_proj.weight,
        "convolution.weight": theirs.conv1d.weight.squeeze(1),
        "convolution.bias": theirs.conv1d.bias,
        "select.weight": theirs.x_proj.weight,
        "time_step.weight": theirs.dt_proj.weight,
        "time_step.bias": theirs.dt_proj.bias,
        "A_log": theirs.A_log,
        "D": theirs.D,
        "output.weight": theirs.out_proj.weight,
    }
    ours.load_state_dict({name: each.detach() for name, each in weights.items()})
    x = torch.randn(2, LENGTH, WIDTH)
    torch.testing.assert_close(ours(x)[0], theirs(x), rtol=1e-4, atol=1e-5)
