"""The body of a model of another architecture, and its logits, as its own forward pass has them."""

import pytest
import torch
from torch import nn

from repo_exp.models.packing import pack
from repo_exp.models.transformers_body import Body, called_linear_layers
from repo_exp.models.transformers_session import DECODINGS, transformers_session
from tests.models.zoo import tiny_model

ROWS = pack([[[5, 6, 7, 8], [5, 6, 9]], [[3, 4]]], pad=0)
TOKENS = torch.tensor([[5, 6, 7, 8]])


@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "cohere", "opt"])
def test_body_and_logits_make_the_models_own_forward_pass(kind) -> None:
    """A plain one, a cap behind the output layer, a scale, and a projection before it."""
    model = tiny_model(kind)
    body = Body(model)
    with torch.no_grad():
        wanted = model(TOKENS).logits[0]
        hidden_BTH, _ = body.forward(TOKENS, torch.ones_like(TOKENS))
        torch.testing.assert_close(body.logits(hidden_BTH[0]), wanted, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(model(TOKENS).logits[0], wanted)  # the body is its own again
    assert "forward" not in vars(body.module)


def test_a_forward_that_an_instance_has_of_its_own_is_put_back() -> None:
    model = tiny_model("gpt2")
    own = model.transformer.forward
    model.transformer.forward = own
    body = Body(model)
    with torch.no_grad():
        body.logits(torch.zeros(2, 32))
    assert vars(body.module)["forward"] is own


def test_gradients_of_logits_reach_the_hidden_states() -> None:
    body = Body(tiny_model("gemma2"))
    hidden = torch.randn(3, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    body.logits(hidden).logsumexp(-1).sum().backward()
    assert hidden.grad.abs().min() > 0


def test_separate_rows_are_packed_rows_where_attention_is_full() -> None:
    body = Body(tiny_model("gpt2"))
    with torch.no_grad():
        packed, separate = body.packed_rows(ROWS), body.separate_rows(ROWS)
    for row, columns, length in zip(ROWS.row_N, ROWS.column_NL, ROWS.length_N, strict=True):
        torch.testing.assert_close(
            separate[row, columns[:length]], packed[row, columns[:length]], atol=1e-5, rtol=1e-5
        )  # fmt: skip


def test_a_model_without_a_body_is_refused() -> None:
    class NoBody(nn.Module):
        device = torch.device("cpu")
        base_model = property(lambda self: self)

        def get_decoder(self) -> nn.Module:
            return self

        def forward(self, input_ids):
            return input_ids

    with pytest.raises(ValueError, match="no body was found below the output layer of NoBody"):
        Body(NoBody())


@pytest.mark.parametrize("decoding", DECODINGS)
def test_completions_grow_as_the_model_reads_them_whole(decoding) -> None:
    """Three prompts, two of one length; one completion is dropped on the way, and two change places."""
    body = Body(tiny_model("gpt2"))
    rows = [[5, 6, 7], [8, 9], [10, 11, 12]]

    def whole() -> torch.Tensor:
        return torch.cat([body.forward(torch.tensor([row]), torch.ones(1, len(row)))[0][:, -1] for row in rows])

    with torch.no_grad():
        session = transformers_session(body, rows, pad=0, decoding=decoding)
        torch.testing.assert_close(session.last_BH, whole(), atol=1e-5, rtol=1e-5)
        for token in (20, 21):
            rows = [[*row, token + i] for i, row in enumerate(rows)]
            found = session.step(torch.tensor([row[-1] for row in rows]))
            torch.testing.assert_close(found, whole(), atol=1e-5, rtol=1e-5)
        rows = [rows[2], rows[0]]
        session.select(torch.tensor([2, 0]))
        torch.testing.assert_close(session.last_BH, whole(), atol=1e-5, rtol=1e-5)
        rows = [[*row, 30] for row in rows]
        torch.testing.assert_close(session.step(torch.tensor([30, 30])), whole(), atol=1e-5, rtol=1e-5)


def test_only_layers_that_return_one_tensor_count_as_called() -> None:
    class Pair(nn.Linear):
        def forward(self, x):
            return x, x

    model = nn.ModuleDict(
        {"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2), "pair": Pair(2, 2), "norm": nn.LayerNorm(2)}
    )
    with called_linear_layers(model, (nn.Linear,)) as called:
        for name in ("used", "pair", "norm"):
            model[name](torch.zeros(1, 2))
        assert called() == {"used"}
    model["unused"](torch.zeros(1, 2))
    assert called() == {"used"}, "nothing is recorded afterwards"
    assert not model["used"]._forward_hooks
