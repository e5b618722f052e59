"""DPO (Rafailov et al., 2023, arXiv 2305.18290) and its relatives: learning from pairs, the better reply known.

    s = log pi(y) - log pi_ref(y)        L = -log sigmoid(beta (s+ - s-))     s+: the better reply's

No reply is sampled, no reward is asked and there is no value network. The relatives differ by a word:

    cdpo        label_smoothing above 0                                   Mitchell, 2023
    robust_dpo  loss: robust, label_smoothing                             Chowdhury et al., 2024, arXiv 2403.00409
    ipo         loss: ipo, aggregation: mean                              Azar et al., 2023, arXiv 2310.12036
    simpo       reference: false, aggregation: mean, margin               Meng et al., 2024, arXiv 2405.14734
    ld_dpo      length_desensitizing below 1                              Liu et al., 2024, arXiv 2409.06411
    nca         loss: nca                                                 Chen et al., 2024, arXiv 2402.05369
    apo_zero    loss: apo_zero                                            D'Oosterlinck et al., 2024, arXiv 2408.06266

``sft_weight`` adds minus the mean log-probability of the better replies' tokens: the log-probabilities of both replies
may fall while their difference grows. IPO's paper writes sums; its authors confirmed that means made its figures.

Edge cases: two replies that are the same give no gradient in the losses of the difference. Pairs are never weighed by
their length; a pair is one of the step's pairs. The mean of LD-DPO's weighted tokens is divided by their weights, which
is ours.
"""

from __future__ import annotations

from torch import Tensor

from repo_exp.algorithms.interface import OfflineAlgorithm, Pairs
from repo_exp.algorithms.options.dpo import Options
from repo_exp.core.diagnostics import negative_log_likelihood
from repo_exp.core.direct import direct_loss, divergence_scores, reply_scores
from repo_exp.core.preference import pair_accuracy


class Algorithm(OfflineAlgorithm):
    """The loss of DPO and its relatives."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.needs_reference = options.reference

    def loss(self, logp_B2T: Tensor, part: Pairs) -> tuple[Tensor, dict[str, float]]:
        """Return the loss of this part, and what the policy itself says of the pairs: beta s, the implicit reward."""
        o, share = self.options, len(logp_B2T) / part.pairs
        ratio_B2T = logp_B2T if part.reference_logp_B2T is None else logp_B2T - part.reference_logp_B2T
        score_B2 = reply_scores(ratio_B2T, part.mask_B2T, mean=o.aggregation == "mean", beyond=o.length_desensitizing)
        shaped_B2 = divergence_scores(score_B2, divergence=o.divergence, alpha=o.divergence_alpha)
        loss_B = direct_loss(shaped_B2, loss=o.loss, beta=o.beta, label_smoothing=o.label_smoothing, margin=o.margin)
        loss = loss_B.sum() / part.pairs
        better_B, worse_B = (o.beta * score_B2.detach()).unbind(1)
        metrics = {
            "implicit/accuracy": pair_accuracy(better_B, worse_B) * share,
            "implicit/margin": (better_B - worse_B).mean().item() * share,
            "implicit/chosen": better_B.mean().item() * share,
            "implicit/rejected": worse_B.mean().item() * share,
        }
        if o.sft_weight:
            imitation = negative_log_likelihood(logp_B2T[:, 0], part.mask_B2T[:, 0], count=part.better_tokens)
            loss = loss + o.sft_weight * imitation
            metrics["loss/imitation"] = imitation.item()
        return loss, metrics
