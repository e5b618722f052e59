"""Two roles compared at every response token."""

import pytest
import torch

from repo_exp.models.forward import lay_out, response_comparison, response_logp

PROMPTS, RESPONSES = [[5, 6, 7], [5, 6, 7], [9, 8]], [[10, 11, 12], [13], [14, 15]]
BATCH = lay_out(PROMPTS, RESPONSES, pad=0)


def same_token(logp_MV, logq_MV) -> torch.Tensor:
    """The probability that both draw the same token."""
    assert len(logp_MV) <= 64
    return (logp_MV + logq_MV).exp().sum(-1)


@pytest.mark.parametrize("engine", ["own", "transformers"])
def test_it_gives_the_log_probabilities_of_each_role_alone(tiny, engine) -> None:
    backbone = tiny("policy", "rollout", engine=engine)
    compared = response_comparison(backbone, BATCH, ("policy", "rollout"), same_token, temperature=0.7)
    for role, found in zip(("policy", "rollout"), compared, strict=False):
        with torch.no_grad(), backbone.active_adapter(role):
            torch.testing.assert_close(found, response_logp(backbone, BATCH, temperature=0.7)[0])
    assert not torch.equal(compared[0], compared[1])


def test_what_is_made_of_both_distributions_by_hand(tiny) -> None:
    """The whole distributions, laid out: the first token of the last response follows on prompt 9 8."""
    backbone = tiny("policy", "rollout")
    *_, found = response_comparison(backbone, BATCH, ("policy", "rollout"), same_token)
    p = []
    for role in ("policy", "rollout"):
        with torch.no_grad(), backbone.active_adapter(role):
            hidden = BATCH.packed.gather(backbone.hidden(BATCH.packed), BATCH.before_NR)
            p.append(backbone.head(hidden[2, 0][None]).softmax(-1)[0])
    assert found[2, 0].item() == pytest.approx((p[0] * p[1]).sum().item(), rel=1e-5)
    assert found[~BATCH.mask_NR].tolist() == [0, 0, 0]  # padding


def test_the_vocabulary_is_walked_a_block_of_tokens_at_a_time(tiny) -> None:
    backbone, sizes = tiny("policy", "rollout"), []

    def count(logp_MV, _) -> torch.Tensor:
        sizes.append(len(logp_MV))
        return logp_MV[:, 0]

    batch = lay_out([[5]] * 15, [[7] * 10] * 15, pad=0)
    response_comparison(backbone, batch, ("policy", "rollout"), count)
    assert sizes == [64, 64, 22]


def test_a_role_takes_the_weights_of_another_and_keeps_them(tiny) -> None:
    backbone = tiny("policy", "rollout")
    names = list(backbone.weights_of("policy"))
    backbone.take("rollout", backbone.weights_of("policy"))
    first, second, _ = response_comparison(backbone, BATCH, ("policy", "rollout"), same_token)
    assert torch.equal(first, second) and names == list(backbone.weights_of("rollout"))
    for weight in backbone.parameters_of("policy").values():
        weight.data.add_(0.1)
    moved, stayed, _ = response_comparison(backbone, BATCH, ("policy", "rollout"), same_token)
    assert torch.equal(stayed, second) and not torch.allclose(moved, first)


@pytest.mark.parametrize("role", ["reference", "rollout"])
def test_a_copy_of_the_policy_has_its_adapter_on_the_same_layers(tiny, tmp_path, role) -> None:
    backbone = tiny("policy", last_layers={"policy": 1})
    backbone.save("policy", tmp_path)
    backbone.load(role, tmp_path)
    assert list(backbone.weights_of(role)) == list(backbone.weights_of("policy"))
