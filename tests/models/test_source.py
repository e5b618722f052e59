"""Models from a folder and from a seed."""

import pytest
import torch

from repo_exp.errors import ModelError
from repo_exp.models.place import RANDOM_POSITIONS
from repo_exp.models.source import RandomShape, random_model, read
from tests.models.zoo import save

SHAPE = RandomShape("llama", hidden_size=32, intermediate_size=64, layers=2, heads=4, key_value_heads=2)


def weights(seed: int, shape: RandomShape = SHAPE) -> torch.Tensor:
    model, _ = random_model(shape, dtype=torch.float32, attention="eager", seed=seed)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_random_model_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    before, first = torch.get_rng_state(), weights(0)
    assert torch.equal(torch.get_rng_state(), before), "other draws are not moved"
    torch.manual_seed(2)
    assert torch.equal(weights(0), first) and not torch.equal(weights(1), first)


@pytest.mark.parametrize(("architecture", "name"), [("llama", "LlamaForCausalLM"), ("qwen3", "Qwen3ForCausalLM")])
def test_a_random_model_has_the_shape_that_is_asked_for(architecture, name) -> None:
    shape = RandomShape(architecture, hidden_size=48, intermediate_size=20, layers=3, heads=6, key_value_heads=3)
    model, tokenizer = random_model(shape, dtype=torch.bfloat16, attention="sdpa", seed=0)
    assert type(model).__name__ == name and model.dtype == torch.bfloat16 and len(model.model.layers) == 3
    attention = model.model.layers[0].self_attn
    assert (attention.q_proj.out_features, attention.k_proj.out_features, attention.head_dim) == (48, 24, 8)
    assert model.config.vocab_size == len(tokenizer) and model.config.max_position_embeddings == RANDOM_POSITIONS
    assert model.config.eos_token_id == tokenizer.eos_token_id and model.config._attn_implementation == "sdpa"


def test_logits_of_a_random_model_are_large_enough_for_an_adapter_to_matter() -> None:
    model, _ = random_model(SHAPE, dtype=torch.float32, attention="eager", seed=0)
    with torch.no_grad():
        assert model(torch.arange(3, 20)[None]).logits.std() > 0.3


def test_a_folder_is_read_in_the_precision_and_with_the_attention_that_are_asked_for(tmp_path) -> None:
    save("llama", tmp_path)
    model, tokenizer = read(tmp_path, dtype=torch.bfloat16, attention="sdpa")
    assert model.dtype == torch.bfloat16 and model.config._attn_implementation == "sdpa" and len(tokenizer) == 259


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), "no file named"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"broken"), "gave: .+"),
        (lambda folder: (folder / "config.json").write_text("{"), "gave: .+"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "no_such_kind"}'), "no_such_kind"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "gave: .+"),
    ],
    ids=["no weights", "broken weights", "broken configuration", "unknown kind", "broken tokenizer"],
)
def test_a_folder_that_cannot_be_read_is_an_error_of_ours_with_a_way_out(tmp_path, change, found) -> None:
    save("llama", tmp_path)
    change(tmp_path)
    with pytest.raises(ModelError, match=found) as refusal:
        read(tmp_path, dtype=torch.float32, attention="eager")
    assert str(tmp_path) in str(refusal.value) and "model=tiny" in str(refusal.value)


def test_code_in_a_models_files_is_not_run(tmp_path) -> None:
    save("llama", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}')
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(ModelError, match="is not run"):
        read(tmp_path, dtype=torch.float32, attention="eager")
    assert not (tmp_path / "ran").exists()
