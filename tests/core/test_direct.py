"""Losses on pairs: golden values, what they promise, and what is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from repo_exp.core.direct import direct_loss, divergence_scores, response_scores

LOSSES = ("sigmoid", "robust", "hinge", "ipo", "nca", "apo_zero", "sppo_hard")
GOLDEN = torch.tensor([[1.0, -2.0]], dtype=torch.float64)  # -10 against -11, -14 against -12: delta = 3
scores = st.floats(-30, 30)


def pair(better: float, worse: float) -> torch.Tensor:
    return torch.tensor([[better, worse]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("hyperparameters", "expected"),
    [
        ({"loss": "sigmoid"}, 0.554355),
        ({"loss": "sigmoid", "label_smoothing": 0.1}, 0.584355),
        ({"loss": "robust", "label_smoothing": 0.1}, 0.516855),
        ({"loss": "hinge"}, 0.7),  # 1 - 0.1 * 3
        ({"loss": "ipo"}, 4.0),  # (3 - 5)^2
        ({"loss": "nca"}, 0.644397 + 0.744397 / 2 + 0.598139 / 2),  # -ls(.1), -ls(-.1), -ls(.2)
        ({"loss": "apo_zero"}, 1 - 0.524979 + 0.450166),  # sigmoid(.1), sigmoid(-.2)
        ({"loss": "sppo_hard"}, (1 - 5) ** 2 + (-2 + 5) ** 2),
    ],
)
def test_golden_losses(hyperparameters, expected) -> None:
    assert direct_loss(GOLDEN, beta=0.1, **hyperparameters).item() == pytest.approx(expected, abs=2e-6)


def test_golden_losses_at_other_betas() -> None:
    """Mean scores .2 and -.25; means -2 and -1.75 without a reference; SPPO's targets of +-500."""
    means = pair(0.2, -0.25)
    assert direct_loss(means, loss="ipo", beta=0.1).item() == pytest.approx(20.7025)
    assert direct_loss(means, loss="sigmoid", beta=0.1).item() == pytest.approx(0.670900, abs=1e-6)
    simpo = direct_loss(pair(-2.0, -1.75), loss="sigmoid", beta=2.0, margin=1.0)
    assert simpo.item() == pytest.approx(1.701413, abs=1e-6)
    assert direct_loss(pair(12.0, -8.0), loss="sppo_hard", beta=0.001).item() == pytest.approx(480208)


def test_golden_gradient() -> None:
    """beta sigmoid(-beta delta): up for the better response, down for the other."""
    score = GOLDEN.clone().requires_grad_()
    direct_loss(score, loss="sigmoid", beta=0.1).sum().backward()
    assert score.grad.tolist() == [pytest.approx([-0.042556, 0.042556], abs=1e-6)]


def test_where_the_policy_is_the_reference() -> None:
    """ln 2 with the gradient beta / 2; (1 / (2 beta))^2 = 25; 2 ln 2; 1; two targets of 5."""
    score = pair(0, 0).requires_grad_()
    loss = direct_loss(score, loss="sigmoid", beta=0.1)
    loss.sum().backward()
    assert loss.item() == pytest.approx(math.log(2)) and score.grad[0].tolist() == pytest.approx([-0.05, 0.05])
    found = {name: direct_loss(pair(0, 0), loss=name, beta=0.1).item() for name in LOSSES}
    assert found == pytest.approx(
        {"sigmoid": math.log(2), "robust": math.log(2), "hinge": 1, "ipo": 25, "nca": 2 * math.log(2), "apo_zero": 1,
         "sppo_hard": 50}
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["sigmoid", "robust", "hinge", "ipo"])
@given(better=scores, worse=scores, shift=scores)
def test_losses_of_the_difference_see_nothing_else(loss, better, worse, shift) -> None:
    losses = [direct_loss(pair(better + by, worse + by), loss=loss, beta=0.1).item() for by in (0, shift)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


@pytest.mark.parametrize("loss", ["nca", "apo_zero", "sppo_hard"])
def test_the_others_look_at_each_response_by_itself(loss) -> None:
    assert direct_loss(pair(1, 0), loss=loss, beta=0.1).item() != direct_loss(pair(2, 1), loss=loss, beta=0.1).item()


@pytest.mark.parametrize("loss", ["sigmoid", "robust", "hinge", "apo_zero"])
@given(better=scores, worse=scores, gain=st.floats(0, 10))
def test_a_likelier_better_response_never_raises_the_loss(loss, better, worse, gain) -> None:
    before, after = (direct_loss(pair(better + by, worse), loss=loss, beta=0.5).item() for by in (0, gain))
    assert after <= before + 1e-9


@given(better=scores, worse=scores, wrong=st.floats(0, 0.4))
def test_the_robust_loss_of_noisy_labels_is_the_loss_of_clean_ones_on_average(better, worse, wrong) -> None:
    """A share e of pairs is turned round: (1 - e) L(a, b) + e L(b, a) is DPO's loss of (a, b)."""
    ways = pair(better, worse), pair(worse, better)
    right, turned = (direct_loss(way, loss="robust", beta=0.5, label_smoothing=wrong) for way in ways)
    clean = direct_loss(ways[0], loss="sigmoid", beta=0.5)
    assert ((1 - wrong) * right + wrong * turned).item() == pytest.approx(clean.item(), abs=1e-6)


def test_smoothed_labels_have_a_best_difference() -> None:
    """cDPO with e = .1 is content at sigmoid(z) = .9, z = ln 9; DPO never is."""
    for smoothing, still in ((0.1, True), (0.0, False)):
        score = pair(math.log(9), 0).requires_grad_()
        direct_loss(score, loss="sigmoid", beta=1.0, label_smoothing=smoothing).sum().backward()
        assert (score.grad.abs().max().item() < 1e-12) == still


def test_scores_are_sums_or_means_and_padding_is_never_read() -> None:
    """Five tokens of .2 and eight of -.25; behind them NaN."""
    ratio = torch.full((1, 2, 9), math.nan, dtype=torch.float64)
    ratio[0, 0, :5], ratio[0, 1, :8] = 0.2, -0.25
    mask = ~ratio.isnan()
    assert response_scores(ratio, mask, mean=False)[0].tolist() == pytest.approx([1, -2])
    assert response_scores(ratio, mask, mean=True)[0].tolist() == pytest.approx([0.2, -0.25])


def test_tokens_beyond_the_shorter_response_weigh_less() -> None:
    """Two tokens against four, each 1, 2, 3, 4: 1 + 2 + .5 (3 + 4) = 6.5; the mean is over the weight 3."""
    ratio = torch.tensor([[[1.0, 2, 0, 0], [1, 2, 3, 4]]], dtype=torch.float64)
    mask = ratio != 0
    assert response_scores(ratio, mask, mean=False, beyond=0.5)[0].tolist() == [3, 6.5]
    assert response_scores(ratio, mask, mean=True, beyond=0.5)[0].tolist() == pytest.approx([1.5, 6.5 / 3])
    assert response_scores(ratio, mask, mean=False, beyond=0.0)[0].tolist() == [3, 3]
    assert response_scores(ratio.flip(1), mask.flip(1), mean=False, beyond=0.5)[0].tolist() == [6.5, 3]


def test_the_scores_of_divergences_by_hand() -> None:
    """At s = 1 and -2: -e^-1 and -e^2; log sigmoid; at alpha .5 -2 e^-.5 and -2 e^1."""
    found = {name: divergence_scores(GOLDEN, divergence=name, alpha=0.5)[0].tolist()
             for name in ("reverse_kl", "forward_kl", "jensen_shannon", "alpha")}  # fmt: skip
    assert found["reverse_kl"] == [1, -2]
    assert found["forward_kl"] == pytest.approx([-math.exp(-1), -math.exp(2)])
    assert found["jensen_shannon"] == pytest.approx([-0.313262, -2.126928], abs=1e-6)
    assert found["alpha"] == pytest.approx([-2 * math.exp(-0.5), -2 * math.exp(1)])


def test_the_alpha_divergence_goes_from_one_kl_to_the_other() -> None:
    """0 is the forward KL; near 1 the difference of two scores is that of the reverse KL."""
    forward = divergence_scores(GOLDEN, divergence="forward_kl")
    assert torch.equal(divergence_scores(GOLDEN, divergence="alpha", alpha=0.0), forward)
    near = divergence_scores(GOLDEN, divergence="alpha", alpha=1 - 1e-6)
    assert (near[0, 0] - near[0, 1]).item() == pytest.approx(3, abs=1e-4)


def test_a_response_that_was_given_up_stays_finite() -> None:
    score = torch.tensor([[-5000.0, 5000.0]], requires_grad=True)
    for divergence in ("forward_kl", "alpha", "jensen_shannon"):
        loss = direct_loss(divergence_scores(score, divergence=divergence, alpha=0.5), loss="sigmoid", beta=0.1)
        loss.sum().backward()
        assert loss.isfinite().all() and score.grad.isfinite().all()


def test_scores_that_are_no_pairs_and_unknown_losses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(B, 2\), got \(3,\)"):
        direct_loss(torch.zeros(3), loss="sigmoid", beta=0.1)
    with pytest.raises(ValueError, match="sigmoid, robust"):
        direct_loss(GOLDEN, loss="sigmoidal", beta=0.1)
    with pytest.raises(ValueError, match="equal shapes"):
        response_scores(torch.zeros(1, 2, 3), torch.ones(1, 2, 4, dtype=torch.bool), mean=False)
