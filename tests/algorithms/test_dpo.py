"""DPO and its relatives as their files have them: golden values from log-probabilities, parts that add up."""

import math

import pytest
import torch

from repo_exp.algorithms import dpo
from repo_exp.algorithms.interface import ReferenceLogprobs
from repo_exp.algorithms.options.dpo import Options
from repo_exp.algorithms.registry import learns_from
from tests.algorithms.parts import pair_hyperparameters, pairs

# sums -10 and -14, the reference's -11 and -12, over 5 and 8 tokens; NaN behind them
LENGTHS, SUMS, REFERENCE = (5, 8), (-10.0, -14.0), (-11.0, -12.0)
GOLDEN = {
    "dpo": 0.554355,
    "cdpo": 0.584355,
    "robust_dpo": 0.516855,
    "ipo": 20.7025,
    "simpo": 1.701413,
    "nca": 1.315665,
    "apo_zero": 0.925187,
}


def laid_out(sums) -> torch.Tensor:
    logp = torch.full((1, 2, 9), math.nan, dtype=torch.float64)
    for row, (total, length) in enumerate(zip(sums, LENGTHS, strict=True)):
        logp[0, row, :length] = total / length
    return logp


def algorithm(option: str = "dpo", **changes) -> dpo.Algorithm:
    return dpo.Algorithm(Options(**pair_hyperparameters(option, **changes)))


@pytest.mark.parametrize(("loss", "place"), [("simpo", "algorithm=simpo"), ("norm", "aggregation=mean")])
def test_a_relative_that_is_more_than_a_loss_is_shown_its_place(loss, place) -> None:
    with pytest.raises(ValueError, match=place):
        Options(**pair_hyperparameters("dpo", loss=loss))


def loss_of(option: str = "dpo", **changes) -> tuple[float, dict[str, float]]:
    logp, method = laid_out(SUMS), algorithm(option, **changes)
    reference = laid_out(REFERENCE) if method.signals else None
    loss, metrics = method.loss(logp, pairs(~logp.isnan(), 1, LENGTHS[0], reference))
    return loss.item(), metrics


@pytest.mark.parametrize(("option", "expected"), GOLDEN.items())
def test_golden_losses(option, expected) -> None:
    assert loss_of(option)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"loss": "hinge"}, 0.7),
        ({"aggregation": "mean"}, 0.670900),  # length-normalised DPO
        ({"loss": "ipo"}, 4.0),  # summed, as the paper writes it
    ],
)
def test_golden_losses_of_single_words(changes, expected) -> None:
    assert loss_of(**changes)[0] == pytest.approx(expected, abs=1e-6)


def test_length_desensitizing_by_hand() -> None:
    """Tokens of -2 against -2.2 and of -1.75 against -1.5: s+ = 1, s- = -.25 (5 + .5 * 3) = -1.625, delta = 2.625."""
    assert loss_of("ld_dpo")[0] == pytest.approx(math.log1p(math.exp(-0.2625)))


def test_what_the_policy_says_of_the_pairs() -> None:
    """beta s: .1 and -.2."""
    _, metrics = loss_of()
    assert metrics == pytest.approx(
        {"implicit/accuracy": 1.0, "implicit/margin": 0.3, "implicit/chosen": 0.1, "implicit/rejected": -0.2}
    )


def test_imitation_is_a_mean_over_the_better_responses_tokens() -> None:
    """-10 over 5 tokens: 2 a token, with half of the weight."""
    loss, metrics = loss_of(sft_weight=0.5)
    assert loss == pytest.approx(0.554355 + 0.5 * 2, abs=1e-6) and metrics["loss/imitation"] == pytest.approx(2)


def test_imitation_alone_is_sfts_golden_value() -> None:
    """p = .5, .25, .125: mean 1.386294; beta so small that the pair's loss is ln 2."""
    logp = torch.tensor([[[0.5, 0.25, 0.125], [1, 1, 1]]], dtype=torch.float64).log()
    given = pairs(torch.ones(1, 2, 3, dtype=torch.bool), 1, 3, logp)
    loss, _ = algorithm(sft_weight=1.0, beta=1e-9).loss(logp, given)
    assert loss.item() - math.log(2) == pytest.approx(1.386294, abs=1e-6)


@pytest.mark.parametrize("option", ["dpo", "ipo", "simpo", "ld_dpo"])
def test_parts_of_a_step_add_up_however_they_are_padded(option) -> None:
    draw = torch.Generator().manual_seed(0)
    logp, reference = (-torch.rand(3, 2, 7, generator=draw, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([[7, 2], [3, 3], [1, 4]])
    mask = torch.arange(7) < lengths[..., None]
    method = algorithm(option, sft_weight=0.3)
    against = reference if method.signals else None
    whole, metrics = method.loss(logp, pairs(mask, 3, 11, against))
    parts = []
    for cut in ((slice(0, 1), slice(None), slice(0, 7)), (slice(1, 3), slice(None), slice(0, 4))):
        given = pairs(mask[cut], 3, 11, None if against is None else against[cut])
        parts.append(method.loss(logp[cut], given))
    assert sum(loss for loss, _ in parts).item() == pytest.approx(whole.item())
    for name, value in metrics.items():
        assert sum(each[name] for _, each in parts) == pytest.approx(value)


def test_only_simpo_needs_no_reference() -> None:
    needy = {option: ReferenceLogprobs() in algorithm(option).signals for option in (*GOLDEN, "ld_dpo")}
    assert [option for option, needs in needy.items() if not needs] == ["simpo"]


def test_there_are_three_kinds_of_methods() -> None:
    assert [learns_from(kind) for kind in ("sft", "dpo", "ppo")] == ["nothing", "pairs", "own responses"]


@pytest.mark.parametrize(
    ("hyperparameter", "value"),
    [("beta", 0), ("label_smoothing", 0.5), ("length_desensitizing", 2), ("divergence_alpha", 1), ("sft_weight", -1)],
)
def test_hyperparameters_out_of_range_are_refused(hyperparameter, value) -> None:
    with pytest.raises(ValueError, match=hyperparameter):
        algorithm(**{hyperparameter: value})
