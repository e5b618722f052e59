"""DPO (Rafailov et al., 2023, arXiv 2305.18290) and its relatives: training on preference pairs.

    s = log pi(y) - log pi_ref(y)        L = -log sigmoid(beta (s+ - s-))     s+: the better response's

Nothing is sampled, no reward is asked and there is no value network. The relatives differ by a word:

    cdpo        label_smoothing above 0                                   Mitchell, 2023
    robust_dpo  loss: robust, label_smoothing                             Chowdhury et al., 2024, arXiv 2403.00409
    ipo         loss: ipo, aggregation: mean                              Azar et al., 2023, arXiv 2310.12036
    simpo       reference: false, aggregation: mean, margin               Meng et al., 2024, arXiv 2405.14734
    ld_dpo      length_desensitizing below 1                              Liu et al., 2024, arXiv 2409.06411
    nca         loss: nca                                                 Chen et al., 2024, arXiv 2402.05369
    apo_zero    loss: apo_zero                                            D'Oosterlinck et al., 2024, arXiv 2408.06266

``sft_weight`` adds minus the mean log-probability of the better responses' tokens: the log-probabilities of both
responses may fall while their difference grows. IPO's paper writes sums; its authors confirmed that its figures were
made with means.

Edge cases: two equal responses give no gradient in the losses of the difference. A pair counts as one of the step's
pairs, whatever its length. The mean of LD-DPO's weighted tokens is divided by their weights, which is ours.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.interface import Metrics, OfflineAlgorithm, PairMinibatch, ReferenceLogprobs
from repo_exp.algorithms.options.dpo import Options
from repo_exp.core.diagnostics import negative_log_likelihood
from repo_exp.core.direct import direct_loss, divergence_scores, response_scores
from repo_exp.core.preference import pair_accuracy


class Algorithm(OfflineAlgorithm[Options]):
    """The loss of DPO and its relatives."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        if options.reference:
            self.signals = (ReferenceLogprobs(),)

    def loss(self, logp_B2T: Tensor, minibatch: PairMinibatch) -> tuple[Tensor, Metrics]:
        """Return the loss, and the implicit rewards beta s of the pairs."""
        o, mask_B2T, share = self.options, minibatch.mask_B2T, len(logp_B2T) / minibatch.pairs
        ratio_B2T = logp_B2T - minibatch[ReferenceLogprobs] if ReferenceLogprobs in minibatch else logp_B2T
        score_B2 = response_scores(ratio_B2T, mask_B2T, mean=o.aggregation == "mean", beyond=o.length_desensitizing)
        shaped_B2 = divergence_scores(score_B2, divergence=o.divergence, alpha=o.divergence_alpha)
        loss_B = direct_loss(shaped_B2, loss=o.loss, beta=o.beta, label_smoothing=o.label_smoothing, margin=o.margin)
        loss = loss_B.sum() / minibatch.pairs
        better_B, worse_B = (o.beta * score_B2.detach()).unbind(1)
        metrics = {
            "implicit/accuracy": pair_accuracy(better_B, worse_B) * share,
            "implicit/margin": (better_B - worse_B).mean().item() * share,
            "implicit/chosen": better_B.mean().item() * share,
            "implicit/rejected": worse_B.mean().item() * share,
        }
        if o.sft_weight:
            imitation = negative_log_likelihood(logp_B2T[:, 0], mask_B2T[:, 0], count=minibatch.better_tokens)
            loss = loss + o.sft_weight * imitation
            metrics["loss/imitation"] = imitation.item()
        return loss, metrics
