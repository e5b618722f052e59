"""Which layers carry an adapter: by their names, by the role, and by what a model calls."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from repo_exp.errors import ConfigError
from repo_exp.models import targets
from repo_exp.models.lora import Lora
from repo_exp.models.roles import COPIES

LORA = Lora(rank=4, alpha=8, target_modules="all-linear", last_layers={"policy": 1, "value": None, "judge": 5})


def config(tiny, role: str, lora: Lora = LORA):
    backbone = tiny()
    return lora.config_of(role, backbone.model, backbone.adaptable)


def test_the_update_is_scaled_by_alpha_over_rank(tiny) -> None:
    made = config(tiny, "policy")
    assert (made.r, made.lora_alpha, LORA.scaling) == (4, 8, 2.0)
    assert made.lora_dropout == 0, "the learner would see another model than the sampler"


@pytest.mark.parametrize(
    ("role", "layers"),
    [("policy", [1]), ("value", None), ("reward", None), ("judge", [0, 1]), *((c, [1]) for c in sorted(COPIES))],
)
def test_a_role_has_the_last_layers_that_it_is_given_and_a_copy_those_of_the_policy(tiny, role, layers) -> None:
    """The model has two layers: 5 of them are both."""
    assert config(tiny, role).layers_to_transform == layers


def test_all_linear_layers_are_those_below_the_output_layer(tiny) -> None:
    wanted = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert tiny().adaptable == wanted and sorted(config(tiny, "policy").target_modules) == wanted


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ([], "no layer is named"),
        ("qproj", "no adapter can be put on qproj"),
        (["q_proj", "lm_head"], "no adapter can be put on lm_head"),
        (["proj"], "no adapter can be put on proj"),
    ],
)
def test_layers_that_cannot_be_adapted_are_refused_with_those_that_can(tiny, modules, found) -> None:
    with pytest.raises(ConfigError, match=rf"{found}.*\n?.*all-linear, or some of down_proj"):
        config(tiny, "policy", replace(LORA, target_modules=modules))


def test_a_name_may_be_given_with_the_folder_that_it_is_in(tiny) -> None:
    backbone = tiny("policy", target_modules=["self_attn.q_proj", "down_proj"])
    assert {name.split(".")[-4] for name in backbone.parameters_of("policy")} == {"q_proj", "down_proj"}
    assert targets.chosen("q_proj", backbone.adaptable) == ["q_proj"]


def test_a_model_without_linear_layers_says_so() -> None:
    with pytest.raises(ConfigError, match="another model: no layer is linear"):
        targets.chosen("all-linear", [])


class TwoHeads(nn.Module):
    """A model whose output layer has the last name of a layer below it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleDict({"out": nn.Linear(2, 2), "norm": nn.LayerNorm(2), "0": nn.Linear(2, 2)})
        self.out = nn.Linear(2, 3)

    def get_output_embeddings(self) -> nn.Linear:
        return self.out


def test_an_output_layer_of_the_same_name_is_left_out_by_its_full_name() -> None:
    model = TwoHeads()
    assert targets.adaptable(model) == ["inner.0", "out"]
    assert targets.excluded(model, ["out"]) == ["out"] and targets.excluded(model, ["inner.0"]) is None


def test_a_layer_that_is_not_called_is_not_adapted() -> None:
    """An adapter on a layer whose weight is read past it would never be trained."""
    assert targets.adaptable(TwoHeads(), called={"inner.out"}) == ["out"]
    assert targets.adaptable(TwoHeads(), called=set()) == []


def test_what_peft_refuses_is_a_problem_of_the_configuration(tiny) -> None:
    with pytest.raises(ConfigError, match=r"model\.lora.*: something"), targets.refusals():
        raise ValueError("something\nmore of it")
    with pytest.raises(KeyError), targets.refusals():
        raise KeyError("another error is left alone")


def test_a_fresh_adapter_depends_on_its_seed_alone(tiny) -> None:
    torch.manual_seed(5)
    first, second, third = tiny(), tiny(), tiny()
    before = torch.get_rng_state()
    for backbone, seed in ((first, 1), (second, 1), (third, 2)):
        backbone.add("policy", seed=seed)
    assert torch.equal(torch.get_rng_state(), before), "other draws are not moved"
    a, b, c = (each.weights_of("policy") for each in (first, second, third))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)
