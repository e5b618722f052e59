"""Sampling: on-policy, repeatable, and the same whoever else is in the batch."""

import pytest
import torch

from repo_exp.errors import NotFiniteError
from repo_exp.models.forward import lay_out, response_logp
from repo_exp.rollout.drawing import draw
from repo_exp.rollout.engine import Completion, Sampling
from repo_exp.rollout.seeds import derived_seed
from repo_exp.rollout.torch_engine import TorchEngine
from tests.sampling import sample

PROMPTS = [[5, 6, 7, 8] * 3, [9, 8, 7, 6, 5], [20, 21, 22, 23, 24, 25], [40] * 9]
HYPERPARAMETERS = {"temperature": 0.8, "max_new_tokens": 12}


def test_the_batch_a_response_is_in_does_not_change_it(tiny) -> None:
    backbone = tiny("policy")
    wide = sample(backbone, "policy", PROMPTS, seed=3, batch_size=4, **HYPERPARAMETERS)
    narrow = sample(backbone, "policy", PROMPTS, seed=3, batch_size=1, **HYPERPARAMETERS)
    assert [response.tokens for response in wide] == [response.tokens for response in narrow]


def test_the_seed_decides(tiny) -> None:
    backbone = tiny("policy")
    again = [sample(backbone, "policy", PROMPTS, seed=seed, batch_size=4, **HYPERPARAMETERS) for seed in (1, 1, 2)]
    assert again[0] == again[1] != again[2]


def test_the_learner_sees_the_probabilities_that_the_sampler_drew_from(tiny) -> None:
    """Left-padded decoding with a cache against one packed pass: the same log-probabilities."""
    backbone = tiny("policy")
    responses = sample(backbone, "policy", PROMPTS, seed=3, batch_size=3, **HYPERPARAMETERS)
    with torch.no_grad(), backbone.active_adapter("policy"):
        logp, _ = response_logp(backbone, lay_out(PROMPTS, [r.tokens for r in responses], pad=0), temperature=0.8)
    for row, response in zip(logp.tolist(), responses, strict=True):
        assert row[: len(response.tokens)] == pytest.approx(response.logprobs, abs=1e-4)


def test_the_engine_scores_its_own_completions_as_it_drew_them(tiny) -> None:
    engine = TorchEngine(tiny("policy"), batch_size=3)
    found = engine.generate(PROMPTS, Sampling(**HYPERPARAMETERS), seeds=[7, 8, 9, 10])
    scored = engine.score(PROMPTS, [each.tokens for each in found], temperature=HYPERPARAMETERS["temperature"])
    for row, each in zip(scored, found, strict=True):
        assert row == pytest.approx(each.logprobs, abs=1e-4)


def test_the_engine_samples_from_the_role_that_was_published_last(tiny) -> None:
    backbone = tiny("policy", "reference")
    with torch.no_grad():
        for weight in backbone.parameters_of("policy").values():
            weight.add_(0.5)
    engine = TorchEngine(backbone, "policy", batch_size=4)
    first = engine.generate(PROMPTS, Sampling(**HYPERPARAMETERS), seeds=[1, 2, 3, 4])
    engine.publish("reference", 1)
    second = engine.generate(PROMPTS, Sampling(**HYPERPARAMETERS), seeds=[1, 2, 3, 4])
    assert [r.tokens for r in first] != [r.tokens for r in second]
    assert second == TorchEngine(backbone, "reference", batch_size=4).generate(
        PROMPTS, Sampling(**HYPERPARAMETERS), seeds=[1, 2, 3, 4]
    )


def test_greedy_tokens_are_those_of_the_librarys_generate(tiny) -> None:
    backbone = tiny("policy")
    found = sample(backbone, "policy", PROMPTS[:1], seed=0, temperature=0, max_new_tokens=8, batch_size=1)[0].tokens
    with torch.no_grad(), backbone.active_adapter("policy"):
        out = backbone.model.generate(torch.tensor(PROMPTS[:1]), max_new_tokens=8, do_sample=False)
    wanted = out[0, len(PROMPTS[0]) :].tolist()
    assert list(found) == wanted[: len(found)]


def test_an_end_finishes_a_response_and_the_budget_cuts_it(tiny) -> None:
    backbone = tiny("policy")
    responses = sample(backbone, "policy", PROMPTS * 20, seed=5, temperature=3.0, max_new_tokens=60, batch_size=80)
    ended = [r for r in responses if r.finished]
    assert ended and all(r.tokens[-1] == backbone.tokens.eos for r in ended)
    assert all(backbone.tokens.eos not in r.tokens[:-1] for r in responses)
    assert all(len(r.tokens) == 60 for r in responses if not r.finished)
    assert all(len(r.logprobs) == len(r.tokens) for r in responses)


def test_a_response_ends_at_any_of_the_models_ends(tiny) -> None:
    backbone = tiny("policy")
    backbone.tokens.other_ends = frozenset({40, 41, 42})
    ends = {40, 41, 42, backbone.tokens.eos}
    responses = sample(backbone, "policy", PROMPTS * 20, seed=5, temperature=3.0, max_new_tokens=60, batch_size=80)
    assert {r.tokens[-1] for r in responses if r.finished} == ends
    assert all(not ends & set(r.tokens[:-1]) and r.finished == (r.tokens[-1] in ends) for r in responses)
    assert all(backbone.tokens.text(r.tokens) == backbone.tokens.text(r.tokens[:-1]) for r in responses if r.finished)


def test_draws_follow_the_softmax() -> None:
    """p = [.5, .25, .25]: numbers below .5 give token 0, below .75 token 1, the rest token 2."""
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25]])).repeat(6, 1)
    uniform = torch.tensor([0.0, 0.49, 0.51, 0.74, 0.76, 0.999999])
    token, logp = draw(logits, uniform, temperature=1.0)
    assert token.tolist() == [0, 0, 1, 1, 2, 2]
    assert logp.exp().tolist() == pytest.approx([0.5, 0.5, 0.25, 0.25, 0.25, 0.25])


def test_a_token_without_probability_is_never_drawn() -> None:
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).repeat(3, 1)
    token, _ = draw(logits, torch.tensor([0.0, 0.5, 1 - 1e-7]), temperature=1.0)
    assert token.tolist() == [1, 1, 1]


def test_temperature_sharpens_and_zero_takes_the_likeliest() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.0]])
    assert draw(logits, torch.tensor([0.99]), temperature=0)[0].item() == 1
    assert draw(logits, torch.tensor([0.5]), temperature=0.5)[1].item() == pytest.approx(
        (logits / 0.5).log_softmax(-1)[0, 1].item(), abs=1e-6
    )


def test_derived_seeds_are_the_same_in_every_process() -> None:
    assert derived_seed(0, "policy", "sample", 3) == derived_seed(0, "policy", "sample", 3)
    assert derived_seed(0, "policy") != derived_seed(1, "policy")


def test_each_response_is_handed_on_once_and_as_it_is_returned(tiny) -> None:
    backbone = tiny("policy")
    heard: dict[int, Completion] = {}

    def hear(place: int, response: Completion) -> None:
        assert place not in heard
        heard[place] = response

    returned = sample(backbone, "policy", PROMPTS * 8, seed=3, batch_size=5, **HYPERPARAMETERS, on_finished=hear)
    assert [heard[place] for place in range(len(returned))] == returned
    assert returned == sample(backbone, "policy", PROMPTS * 8, seed=3, batch_size=5, **HYPERPARAMETERS)


@pytest.mark.parametrize("temperature", [0.0, 0.8, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_end_the_sampling_and_name_role_and_prompts(tiny, temperature, bad) -> None:
    backbone = tiny("policy", "reference")
    next(iter(backbone.parameters_of("policy").values())).data.fill_(bad)
    sampling = {"seed": 3, "temperature": temperature, "max_new_tokens": 12, "batch_size": 2}
    with pytest.raises(NotFiniteError, match=r"role policy: its logits .* not finite for 2 of 4 prompts: prompt \d"):
        sample(backbone, "policy", PROMPTS, **sampling)
    assert len(sample(backbone, "reference", PROMPTS, **sampling)) == 4


def test_a_temperature_that_overflows_the_logits_is_named(tiny) -> None:
    with pytest.raises(NotFiniteError, match="over temperature 1e-44 are not finite"):
        sample(tiny("policy"), "policy", PROMPTS, seed=3, temperature=1e-44, max_new_tokens=12, batch_size=4)


@pytest.mark.parametrize("vocabulary", [3, 256, 300])
def test_a_draw_from_no_distribution_is_a_token_without_a_log_probability(vocabulary) -> None:
    """Out of range it would stop a GPU for good; so it is any token, with NaN beside it."""
    logits = torch.zeros(3, vocabulary)
    logits[0, 1], logits[1, 2] = torch.nan, torch.inf
    for temperature in (0.0, 0.7, 1.0):
        token, logp = draw(logits, torch.tensor([0.1, 0.9, 0.5]), temperature=temperature)
        assert (token < vocabulary).all() and logp.isfinite().tolist() == [False, False, True]
