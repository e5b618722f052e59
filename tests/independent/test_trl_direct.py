"""Losses on pairs against TRL's DPO trainer, which is handed our log-probabilities."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from tests.independent.tiny import ARGUMENTS, model, tokenizer

direct = pytest.importorskip("repo_exp.core.direct")
PAIRS, LONGEST, BETA = 5, 6, 0.3

# ours -> (theirs, is a response's score a mean over its tokens?, label smoothing)
LOSSES = {
    "sigmoid": ("sigmoid", False, 0.0),
    "robust": ("robust", False, 0.2),
    "hinge": ("hinge", False, 0.0),
    "ipo": ("ipo", True, 0.0),
    "nca": ("nca_pair", False, 0.0),
    "apo_zero": ("apo_zero", False, 0.0),
    "sppo_hard": ("sppo_hard", False, 0.0),
}
DIVERGENCES = {"reverse_kl": "reverse_kl", "forward_kl": "forward_kl", "jensen_shannon": "js_divergence",
               "alpha": "alpha_divergence"}  # fmt: skip


@pytest.fixture(scope="module")
def dpo(tmp_path_factory):
    pairs = Dataset.from_dict({"prompt": ["ab"], "chosen": ["c"], "rejected": ["d"]})
    arguments = DPOConfig(
        output_dir=str(tmp_path_factory.mktemp("dpo")), per_device_train_batch_size=1, beta=BETA, **ARGUMENTS
    )
    made = DPOTrainer(
        model=model(), ref_model=model(), args=arguments, processing_class=tokenizer(), train_dataset=pairs
    )
    made.model.train()
    made.precompute_ref_logps = True
    return made


def drawn(seed: int) -> torch.Tensor:
    return torch.randn(PAIRS, 2, LONGEST, generator=torch.Generator().manual_seed(seed))


MASK = torch.arange(LONGEST) < torch.tensor([[6, 2], [3, 3], [1, 5], [4, 6], [2, 1]])[..., None]
LOGP, REFERENCE = (torch.where(MASK, -drawn(seed).abs(), torch.zeros(())) for seed in (0, 1))


def theirs(peer, logp_B2T: torch.Tensor, reference_B2: torch.Tensor) -> torch.Tensor:
    """Return TRL's loss. Its batch has the better responses first, then the others; the first column is the prompt."""

    def laid_out(x_B2T: torch.Tensor) -> torch.Tensor:
        return torch.cat([x_B2T[:, 0], x_B2T[:, 1]])

    mask = torch.cat([torch.zeros(2 * PAIRS, 1), laid_out(MASK)], 1).long()
    ids = torch.ones_like(mask)
    logp = laid_out(logp_B2T)
    said = SimpleNamespace(
        log_probs=logp, entropy=logp.detach(), mean_logits=logp.detach(), is_top1=torch.zeros_like(logp).bool()
    )
    better, worse = reference_B2.unbind(1)
    inputs = {"input_ids": ids, "attention_mask": ids, "completion_mask": mask, "ref_chosen_logps": better,
              "ref_rejected_logps": worse}  # fmt: skip
    return peer._compute_loss(lambda **_: said, inputs, return_outputs=False)


def compared(peer, *, loss: str, divergence: str = "reverse_kl", alpha: float = 0.5, beyond: float = 1.0) -> None:
    name, mean, smoothing = LOSSES[loss]
    peer.loss_types, peer.loss_weights, peer.label_smoothing = [name], [1.0], smoothing
    peer.f_divergence_type, peer.f_alpha_divergence_coef = DIVERGENCES[divergence], alpha
    peer.ld_alpha = None if beyond == 1 else beyond
    mine, peers = (LOGP.clone().requires_grad_() for _ in range(2))
    shared, length = MASK.sum(2).amin(1)[:, None, None], torch.arange(LONGEST) + 1
    weighed = torch.where(length <= shared, REFERENCE, beyond * REFERENCE)  # of a reference, TRL is handed sums
    expected = theirs(peer, peers, weighed.sum(2))
    score_B2 = direct.response_scores(mine - REFERENCE, MASK, mean=mean, beyond=beyond)
    score_B2 = direct.divergence_scores(score_B2, divergence=divergence, alpha=alpha)
    found = direct.direct_loss(score_B2, loss=loss, beta=BETA, label_smoothing=smoothing).mean()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    found.backward(), expected.backward()
    torch.testing.assert_close(mine.grad[MASK], peers.grad[MASK], atol=1e-6, rtol=1e-5)
    assert mine.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_their_gradients(dpo, loss) -> None:
    compared(dpo, loss=loss)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_divergences(dpo, divergence) -> None:
    compared(dpo, loss="sigmoid", divergence=divergence)


def test_tokens_beyond_the_shorter_response_may_weigh_less(dpo) -> None:
    compared(dpo, loss="sigmoid", beyond=0.4)
