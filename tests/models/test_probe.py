"""Whatever the architecture, our log-probabilities are those of ``model(...)``, or the run does not start."""

import json
from dataclasses import replace

import pytest
import torch

from repo_exp.errors import ConfigError, ModelError
from repo_exp.models.forward import answer_yes, lay_out, response_comparison, response_logp, yes_logits
from repo_exp.models.forward_path import Route
from repo_exp.models.packing import chunks, pack
from repo_exp.models.probe import ROLE, settle
from repo_exp.models.source import read
from tests.models.zoo import WINDOW, backbone, measure, save
from tests.sampling import sample

START = [*range(30, 62)]  # longer than the windows
PROMPTS, RESPONSES = [[*START, 5], [*START, 5], [*START, 7, 8, 9]], [[10, 11, 12], [13, 14], [15, 16, 17, 18]]


def by_the_model(made, prompts, responses, temperature=1.0) -> list[torch.Tensor]:
    """Return log p of the response tokens, one sequence at a time through model(...)."""
    logps = []
    for prompt, response in zip(prompts, responses, strict=True):
        logits = made.model(torch.tensor([[*prompt, *response]])).logits[0, len(prompt) - 1 : -1] / temperature
        logps.append(logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1))
    return logps


def with_policy(kind: str, **changes):
    made = backbone(kind, **changes)
    settle(made, longest=500)
    made.add("policy", seed=0)
    generator = torch.Generator().manual_seed(0)
    for weight in made.parameters_of("policy").values():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    return made


# of each kind of difference one: a scale, a divisor, a cap and windows, windows alone, convolutions, recurrence, learnt
# positions, positions by distance, another width before the output layer, a bias there
EXAMPLES = ["cohere", "granite", "gemma2", "mistral", "lfm2", "mamba", "gpt2", "bloom", "opt", "phi", "recurrent_gemma"]


@pytest.mark.parametrize("kind", EXAMPLES)
def test_learner_and_sampler_give_the_models_own_log_probabilities(kind) -> None:
    made = with_policy(kind)
    batch = lay_out(PROMPTS, RESPONSES, pad=made.tokens.pad)
    drawn = sample(made, "policy", PROMPTS, seed=0, temperature=0.7, max_new_tokens=6, batch_size=8)
    with torch.no_grad(), made.active_adapter("policy"):
        found, entropy = response_logp(made, batch, with_entropy=True)
        for row, right in enumerate(by_the_model(made, PROMPTS, RESPONSES)):
            torch.testing.assert_close(found[row, : len(right)], right, atol=1e-5, rtol=1e-5)
        responses = [list(response.tokens) for response in drawn]
        for response, right in zip(drawn, by_the_model(made, PROMPTS, responses, 0.7), strict=True):
            torch.testing.assert_close(torch.tensor(response.logprobs), right, atol=2e-5, rtol=1e-5)
    assert entropy[batch.mask_NR].min() > 0


@pytest.mark.parametrize("kind", ["cohere", "gemma2", "lfm2", "bloom"])
def test_gradients_are_those_of_the_model(kind) -> None:
    made = with_policy(kind)
    batch = lay_out(PROMPTS, RESPONSES, pad=made.tokens.pad)
    with made.active_adapter("policy", training=True):
        (response_logp(made, batch)[0].exp() * batch.mask_NR).sum().backward()
        ours = {name: p.grad.clone() for name, p in made.parameters_of("policy").items() if p.grad is not None}
        for p in made.parameters_of("policy").values():
            p.grad = None
        sum(each.exp().sum() for each in by_the_model(made, PROMPTS, RESPONSES)).backward()
        right = {name: p.grad for name, p in made.parameters_of("policy").items() if p.grad is not None}
    assert ours.keys() == right.keys() and max(g.abs().max() for g in ours.values()) > 1e-3
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, right[name], atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_the_fastest_exact_route_is_taken() -> None:
    routes = {
        "llama": Route("own", "own", True),
        "gpt2": Route("packed", "padded", True),
        "cohere": Route("packed", "padded", False),
        "mistral": Route("separate", "padded", True),
        "mpt": Route("separate", "padded", True),
        "mamba": Route("separate", "same_length", True),
        "recurrent_gemma": Route("separate", "no_cache", False),
    }
    assert {kind: measure(kind).route for kind in routes} == routes
    assert measure("llama", engine="transformers").route == Route("packed", "padded", True)


def test_a_window_longer_than_every_sequence_costs_nothing() -> None:
    assert measure("mistral", sliding_window=512).route.rows == "packed"
    assert measure("mistral", sliding_window=499).route.rows == "separate", "500 tokens can come"


def test_a_qwen2_with_windows_is_handed_over() -> None:
    windows = {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1}
    assert measure("qwen2", **windows).route.rows == "separate"
    with pytest.raises(ModelError, match="own"):
        measure("qwen2", engine="own", **windows)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 2.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256},
        {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
         "original_max_position_embeddings": 256},
    ],
    ids=lambda rope: rope["rope_type"],
)  # fmt: skip
def test_scaled_positions_are_exact_in_the_own_forward_pass(rope) -> None:
    found = measure("llama", rope_parameters={"rope_theta": 10000.0, **rope})
    assert found.route.rows == "own" and found.gap < 1e-5


@pytest.mark.parametrize("changes", [{"attention_bias": True}, {"mlp_bias": True}, {"tie_word_embeddings": True}])
def test_biases_and_tied_heads_are_exact_in_the_own_forward_pass(changes) -> None:
    found = measure("llama", **changes)
    assert found.route.rows == "own" and found.gap < 1e-5


def test_a_run_does_not_start_where_nothing_is_exact() -> None:
    """A model that looks ahead: what a token is worth changes with what follows it."""
    made = backbone("gpt2")
    forward = made.model.transformer.forward

    def looking_ahead(*args, **kwargs):
        output = forward(*args, **kwargs)
        output.last_hidden_state = output.last_hidden_state + output.last_hidden_state.mean(1, keepdim=True)
        return output

    made.model.transformer.forward = looking_ahead
    with pytest.raises(ModelError, match=r"separate rows: log-probabilities differ by .* \(without adapter\)"):
        settle(made, longest=500)
    assert ROLE not in made.roles


def test_a_model_that_cannot_be_run_is_an_error_of_ours() -> None:
    made = backbone("gpt2")
    made.model.transformer.h[0].attn.forward = None
    with pytest.raises(ModelError, match="TypeError"):
        settle(made, longest=500)


def test_the_probe_leaves_nothing_behind() -> None:
    made = backbone("llama")
    before = {name: p.detach().clone() for name, p in made.model.named_parameters()}
    settle(made, longest=500)
    assert made.roles == () and dict(made.model.named_parameters()).keys() == before.keys()
    assert all(torch.equal(p, before[name]) for name, p in made.model.named_parameters())


@pytest.mark.parametrize(("kind", "name"), [("llama", "max_position_embeddings"), ("gpt2", "max_position_embeddings"),
                                            ("mpt", "max_seq_len")])  # fmt: skip
def test_prompts_longer_than_the_positions_are_refused(kind, name) -> None:
    made = backbone(kind, **{name: 450})
    with pytest.raises(ConfigError, match=r"model\.max_prompt_tokens=350 or less"):
        settle(made, longest=500)
    settle(made, longest=450)


def test_rotary_factors_that_change_with_the_length_are_not_crossed() -> None:
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 2.0, "short_factor": [1.0] * 4,
            "long_factor": [2.0] * 4, "original_max_position_embeddings": 128}  # fmt: skip
    with pytest.raises(ConfigError, match="original_max_position_embeddings is 128"):
        measure("phi3", rope_parameters=rope, original_max_position_embeddings=128, sliding_window=None)


def test_padding_without_an_embedding_is_replaced_and_other_tokens_are_refused() -> None:
    made = backbone("llama")
    made.tokens.pad = 10_000
    settle(made, longest=500)
    assert made.tokens.pad == made.tokens.eos
    made.tokens.hf.add_tokens(["beyond"])
    with pytest.raises(ModelError, match="'beyond'"):
        settle(made, longest=500)


@pytest.mark.parametrize("targets", [["nothing"], ["c_attn", "nothing"], ["lm_head"], "wte"])
def test_a_layer_that_cannot_be_adapted_is_refused(targets) -> None:
    made = backbone("gpt2")
    made.lora = replace(made.lora, target_modules=targets)
    with pytest.raises(ConfigError, match="all-linear, or some of c_attn, c_fc, c_proj"):
        settle(made, longest=500)


def test_layers_whose_weight_is_read_past_an_adapter_get_none() -> None:
    made = with_policy("mamba")
    batch = lay_out(PROMPTS, RESPONSES, pad=made.tokens.pad)
    with made.active_adapter("policy", training=True):
        response_logp(made, batch)[0].sum().backward()
    assert "dt_proj" not in made.adaptable and "out_proj" not in made.adaptable
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters_of("policy").values())


@pytest.mark.parametrize("kind", ["phi", "gemma2", "llama"])
def test_a_judge_reads_the_logits_of_the_model(kind) -> None:
    """Phi has a bias in its output layer, Gemma 2 a cap behind it."""
    made = backbone(kind)
    if kind == "phi":
        torch.nn.init.normal_(made.model.lm_head.bias, std=2.0)
    settle(made, longest=500)
    yes, no = made.answers
    with torch.no_grad():
        found = yes_logits(made, pack([[[*START, 5]]], pad=0)).item()
        logits = made.model(torch.tensor([[*START, 5]])).logits[0, -1]
    assert found == pytest.approx((logits[yes].logsumexp(0) - logits[no].logsumexp(0)).item(), abs=1e-5)


def test_a_first_token_of_both_answers_tells_nothing() -> None:
    """Bytes: ' yes' and ' no' both begin with a space."""
    made = backbone("llama")
    yes, no = made.answers
    assert not {*yes} & {*no} and made.tokens.hf.convert_ids_to_tokens(yes) == ["Y", "y"]
    made = backbone("llama")
    made.tokens.answer_tokens = lambda answer: [7]
    made.add("judge", seed=0)
    with pytest.raises(ModelError, match="judge=openai"):
        answer_yes(made, [[[5, 6]]], microbatch_tokens=100)


def test_two_roles_are_compared_through_the_models_own_head() -> None:
    made = with_policy("cohere")
    made.copy("policy", "rollout")
    batch = lay_out(PROMPTS, RESPONSES, pad=made.tokens.pad)
    first, second, _ = response_comparison(made, batch, ("policy", "rollout"), lambda a, b: (a - b).sum(-1))
    with torch.no_grad(), made.active_adapter("policy"):
        torch.testing.assert_close(first, response_logp(made, batch)[0])
    torch.testing.assert_close(first, second)


def test_rows_of_their_own_count_in_full() -> None:
    """Two sequences of 10 tokens that share 8 take 12 columns in one row, and 20 in two."""
    groups = [[[*range(8), n, 50], [*range(8), n + 10, 60]] for n in range(10, 14)]
    assert list(map(len, chunks(groups, 24, sharing=False))) == [2, 2]
    assert list(map(len, chunks(groups, 24, sharing=False, separate=True))) == [1, 1, 1, 1]


def test_a_folder_is_read_whatever_its_padding_and_its_attention(tmp_path) -> None:
    """A padding token beyond the embedding; and Mamba, which has no attention that could be asked for."""
    for kind in ("llama", "mamba"):
        folder = save(kind, tmp_path / kind)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 10_000}))
        model, _ = read(folder, dtype=torch.float32, attention="sdpa")
        assert type(model).__name__.lower().startswith(kind)


def test_what_learns_has_no_dropout() -> None:
    """It would make the learner see another model than the sampler does."""
    made = with_policy("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    made.train()
    batch = lay_out(PROMPTS, RESPONSES, pad=made.tokens.pad)
    with torch.no_grad(), made.active_adapter("policy"):
        assert torch.equal(response_logp(made, batch)[0], response_logp(made, batch)[0])
