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
    q, k, v = (x[0] @ mixer.project.weight.mT).chunk(3, -1)
    q, k, v = (each.view(LENGTH, HEADS, -1).transpose(0, 1) for each in (q, k, v))
    return q, k, v


@pytest.mark.parametrize("positions", ["rope", "nope", "alibi"])
def test_attention_is_its_formula(positions: str) -> None:
    mixer = Attention(WIDTH, heads=HEADS, positions=positions).double()  # pyright: ignore[reportArgumentType]
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = projected(mixer, x)
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


def test_linear_attention_is_its_formula() -> None:
    mixer = LinearAttention(WIDTH, heads=HEADS).double()
    x = torch.randn(1, LENGTH, WIDTH, dtype=torch.float64)
    q, k, v = projected(mixer, x)
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
