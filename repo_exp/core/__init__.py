"""The mathematics: pure functions on numbers and tensors, without configuration, model or logger.

    rewards combined        enhancement.enhance, .enhancement, .sum_of_points
                            comparison.comparison_groups, .z_scores, .lexicographic
    reward model            preference.bradley_terry_loss, .pair_accuracy, .calibration, .calibrate, .disagrees
                            augmentation.contests, .partners (RRM)
    judge                   probability.log_odds, .shifted, .ranked_right
    advantages              advantage.gae, .reward_at_last_token, .group_advantage, .in_unequal_groups
                            advantage.overlong_penalty (DAPO), .decoupled_advantage, .conditioned (GDPO)
                            ordinal.ordinal_advantage (GOPO)
                            pairwise.pair_difference, .sequence_reward (P3O)   self_play.self_play_target (SPPO)
                            consistency.consistency_bonus, .answer_likelihood (GRPO-CARE)
                            frozen_value.static_advantage, .released_advantage, .value_targets (DVPO)
    losses                  policy_loss.clipped_surrogate, .probability_ratio, .sequence_ratio, .truncated_importance
                            value_loss.clipped_value_error   pairwise.pairwise_surrogate   self_play.self_play_loss
                            direct.direct_loss, .response_scores, .divergence_scores (DPO and its relatives)
                            diagnostics.negative_log_likelihood (SFT)
    KL                      kl.kl_per_token, .adapted_coefficient
    importance weights      correction.sampler_correction   rejection.acceptance, .overlap, .overlap_calibration,
                            .kept_weight, .rejection_factor (Jackpot)
    metrics                 diagnostics.surrogate_metrics, .approximate_kl, .explained_variance
    masks and groups        masks.aggregation_weights, .weighted_sum, .masked_sum, .masked_mean, .response_sum
                            masks.standardize
                            groups.peers, .mean_of_peers

``choices`` has the alternatives of these formulas as types, without torch.

Legend: B responses, T tokens of a response, V vocabulary, P pairs, G the responses of a group.
"""
