"""Log-probabilities of tokens, their entropy and their gradients, through an output layer and through a model's own."""

import pytest
import torch
from torch import nn

from repo_exp.models.output import TokenLogp, token_logits, token_logp
from repo_exp.models.packed_weights import FrozenLinear

HIDDEN, TOKEN = torch.randn(10, 5, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 7


def output_layer(*, bias: bool = False) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(5, 7, bias=bias)


def head_of(kind: str, layer: nn.Linear):
    """The output layer itself, or a function with a cap behind it, as Gemma 2 has."""
    return FrozenLinear([layer]) if kind == "plain" else lambda hidden: 3.0 * torch.tanh(layer(hidden) / 3.0)


@pytest.mark.parametrize("kind", ["plain", "capped"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_and_gradients_are_autograds_in_more_than_one_block(monkeypatch, kind, temperature) -> None:
    monkeypatch.setattr(TokenLogp, "BLOCK", 4)
    layer = output_layer()
    head, hidden = head_of(kind, layer), HIDDEN.clone().requires_grad_()
    logp, entropy = token_logp(hidden, head, TOKEN, temperature=temperature, with_entropy=True)
    logits = layer(hidden) if kind == "plain" else head(hidden)
    everything = (logits.double() / temperature).log_softmax(-1)
    wanted = everything.gather(1, TOKEN[:, None])[:, 0]
    torch.testing.assert_close(logp.double(), wanted, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(entropy.double(), -(everything.exp() * everything).sum(-1), atol=1e-6, rtol=1e-5)
    slope = torch.linspace(-1, 1, 10)
    (found,) = torch.autograd.grad(logp, hidden, slope)
    (right,) = torch.autograd.grad(wanted, hidden, slope.double())
    torch.testing.assert_close(found, right, atol=1e-5, rtol=1e-5)
    assert not entropy.requires_grad and layer.weight.grad is None


@pytest.mark.parametrize("kind", ["plain", "capped"])
def test_without_gradients_it_is_the_same_and_leaves_its_input_alone(kind) -> None:
    head, before = head_of(kind, output_layer()), HIDDEN.clone()
    trained, _ = token_logp(HIDDEN.clone().requires_grad_(), head, TOKEN, temperature=0.7, with_entropy=False)
    with torch.no_grad():
        logp, entropy = token_logp(HIDDEN, head, TOKEN, temperature=0.7, with_entropy=False)
    torch.testing.assert_close(logp, trained.detach())
    assert torch.equal(HIDDEN, before) and entropy.eq(0).all()


@pytest.mark.parametrize("kind", ["plain", "capped"])
def test_logits_of_some_tokens_are_those_of_all(kind) -> None:
    layer = output_layer(bias=True)
    head = head_of(kind, layer)
    with torch.no_grad():
        wanted = (layer if kind == "plain" else head)(HIDDEN)[:, [6, 2]]
        torch.testing.assert_close(token_logits(HIDDEN, head, (6, 2)), wanted, atol=1e-6, rtol=1e-5)
