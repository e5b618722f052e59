"""The choices that the formulas of this folder offer, as types. No torch: options of a configuration use them."""

from __future__ import annotations

from typing import Literal

Scale = Literal["group", "batch", "none"]
Baseline = Literal["group_mean", "leave_one_out"]
Otherwise = Literal["zero", "lowest"]
Ties = Literal["averaged", "published"]
Clipping = Literal["separate", "joint"]
Aggregation = Literal["token_mean", "sequence_mean", "sequence_sum", "constant"]
KLEstimator = Literal["k1", "k2", "k3", "k3+"]
Correction = Literal["none", "truncated", "masked"]
LikelihoodMean = Literal["arithmetic", "geometric"]
PairLoss = Literal["sigmoid", "robust", "hinge", "ipo", "nca", "apo_zero", "sppo_hard"]
Divergence = Literal["reverse_kl", "forward_kl", "jensen_shannon", "alpha"]
SelfPlayTarget = Literal["win_rate", "single", "hard"]
ValueTargets = Literal["lambda_return", "td0", "monte_carlo"]
