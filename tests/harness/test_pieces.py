"""Parameters cut from one matrix, against torch's own cut."""

import pytest
import torch
from lengthwise.harness import pieces


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("large", [1, 4, 100], ids=["all views", "some views", "all gathered"])
def test_pieces_and_their_joint_gradient_are_those_of_a_cut(
    members: int, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "LARGE", large)
    sizes = [2, 7, 1, 4, 3]
    flat = torch.randn(members, sum(sizes)).requires_grad_()
    found = pieces.Pieces(members, sizes, torch.device("cpu")).cut(flat)
    expected = flat.split(sizes, 1)
    incoming = [torch.randn_like(each) for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
        assert one.is_contiguous() or one.shape[1] >= large
    (gradient,) = torch.autograd.grad(found, flat, incoming)
    assert torch.equal(gradient, torch.cat(incoming, 1))
