"""The museum of docs/extending.md, as the page has it: a domain with an option of its own, found by its folder."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from repo_exp import domains
from repo_exp.config import keys
from repo_exp.config.check import load
from repo_exp.config.compose import Composer
from repo_exp.config.topics import topic_text
from repo_exp.domains import registry
from repo_exp.domains.corpus import describe
from repo_exp.domains.interface import Step
from repo_exp.domains.own_data.options import JsonlOptions
from repo_exp.errors import ConfigError
from repo_exp.evaluation.agents.function import FunctionAgent
from repo_exp.stages import pipeline
from repo_exp.stages.data import DataStage, read
from repo_exp.stages.inputs import as_json
from repo_exp.stages.store import Artifact

PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")


def block(heading: str, language: str, number: int = 0) -> str:
    """Return a block of code of a section of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)[number]


@pytest.fixture
def add_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function: folder name, file=text... -> a domain that the program finds as one of its own."""
    shelf = tmp_path / "domains"
    monkeypatch.setattr(domains, "__path__", [*domains.__path__, str(shelf)])
    before = set(sys.modules)

    def add(name: str, **files: str) -> None:
        (shelf / name).mkdir(parents=True)
        for file, text in files.items():
            (shelf / name / f"{file}.py").write_text(text, encoding="utf-8")
        importlib.invalidate_caches()
        keys.sections.cache_clear()

    yield add
    for name in set(sys.modules) - before:
        if name.startswith("repo_exp.domains."):
            del sys.modules[name]
            if hasattr(domains, name.split(".")[2]):
                delattr(domains, name.split(".")[2])
    keys.sections.cache_clear()


@pytest.fixture
def museum(add_domain, conf: Path) -> None:
    """Follow the page: the domain's folder, and a file each in conf/data and conf/domain."""
    offered = block("An environment", "python", 1)
    add_domain("museum", __init__=block("A domain", "python") + offered, visitor=block("An environment", "python"))
    (conf / "data" / "museum.yaml").write_text(block("A domain", "yaml", 0), encoding="utf-8")
    (conf / "domain" / "museum.yaml").write_text(block("A domain", "yaml", 1), encoding="utf-8")


def composed(*overrides: str):
    return Composer.create().compose(["experiment=smoke", "store=nowhere", *overrides])


def test_a_domain_with_an_option_of_its_own_is_found_typed_and_sound(museum, problems_of):
    assert registry.names() == ["hotel", "museum"]
    assert problems_of("experiment=smoke", "data=museum", "data.visitors=16") == {}
    config = load(composed("data=museum", "data.visitors=16"))
    assert (config.domain.name, config.data.visitors) == ("museum", 16)
    text = topic_text(["data=museum"])
    assert "data.visitors=200\n      whole number ≥ 1; visitors of the training split" in text
    assert "data.scale" not in text and "data.scale" in topic_text(["data"])


@pytest.mark.parametrize(
    ("overrides", "where", "words"),
    [
        (["data=museum", "+data.visitorz=3"], "data.visitorz", "'data.visitors'"),
        (["data=museum", "+data.scale=1.0"], "data.scale", "valid: kind, visitors"),
        (["data=museum", "data.visitors=0"], "data.visitors", "1 or more"),
        (["data=museum", "data.visitors=many"], "data.visitors", "whole number"),
        (["domain=museum"], "data", "the keys of museum: visitors; data=museum"),
        # its `amounts` say that there are two prompts of development
        (["data=museum", "data.visitors=3", "evaluation.validation_prompts=4"],
         "evaluation.validation_prompts", "a larger data.visitors"),
    ],
)  # fmt: skip
def test_what_does_not_suit_a_domain_is_said_once_in_its_own_keys(museum, problems_in, overrides, where, words):
    problems = problems_in(*overrides)
    assert set(problems) == {where}
    assert words in problems[where]


def test_the_hotels_keys_are_not_the_museums(museum, problems_in):
    assert "did you mean 'data.scale'" in problems_in("++data.scal=1")["data.scal"]
    assert "data.visitors" in problems_in("++data.visitors=3")


def test_the_data_stage_makes_its_corpus_and_its_record_has_domain_options_and_seed(museum, tmp_path):
    config = load(composed("data=museum", "data.visitors=16", "seed=7"))
    inputs = DataStage().inputs(config)
    options = {"kind": "generated", "visitors": 16}
    assert as_json(inputs) == {"source": {"domain": "museum", "options": options}, "seed": 7}
    DataStage().build(inputs, {}, tmp_path, None)
    corpus = read(Artifact("data", "0", tmp_path, {}, reused=False))
    assert describe(corpus)["prompts"] == {"train": 16, "development": 4, "test": 4}
    assert corpus == registry.find("museum").corpus(seed=7, options=inputs.source.options)
    assert corpus != registry.find("museum").corpus(seed=8, options=inputs.source.options)


def test_its_option_changes_the_address_of_the_data_and_of_what_is_made_of_them(museum):
    one, other = (
        pipeline.addresses(load(composed("data=museum", "model.dtype=float32", f"data.visitors={number}")))
        for number in (16, 17)
    )
    assert one.keys() == other.keys()
    assert all(one[stage] != other[stage] for stage in one if stage != "backbone")


def test_its_environment_is_the_one_of_the_page(museum):
    found = registry.find("museum")
    prompts = found.corpus(seed=0, options=found.Options(kind="generated", visitors=1)).prompts["test"]
    visitor = found.environment(prompts[0], seed=0)
    assert visitor.reset() == prompts[0].messages
    assert visitor.step("We open at 9.").messages[0].content == "And what does it cost?"
    assert visitor.step("12 euros") == Step(done=True, outcome={"named_a_price": True})
    assert found.speakers == {"assistant": "Museum", "user": "Visitor"}


def test_the_script_of_the_page_plays_its_dialogues(museum, capsys):
    exec(compile(block("A protocol", "python", 0), "script", "exec"), {})
    helpful, curt = capsys.readouterr().out.splitlines()
    assert helpful.startswith("helpful Proportion") and "1.0" in helpful
    assert curt.startswith("curt Proportion") and "0.0" in curt


def test_the_protocol_of_the_page_plays_each_prompt_several_times_with_draws_of_their_own(museum):
    scope: dict = {}
    exec(compile(block("A protocol", "python", 1), "several", "exec"), scope)
    found = registry.find("museum")
    prompts = found.corpus(seed=0, options=found.Options(kind="generated", visitors=8)).prompts["test"]
    played = scope["several"]([FunctionAgent("a", lambda messages: "Yes.")], prompts, seed=0, count=3)
    assert [[each.response for each in once] for once in played["a"]] == [["Yes.", "Yes."]] * 3


def test_a_folder_that_is_no_domain_says_what_it_lacks(add_domain, problems_in):
    add_domain("empty", __init__='"""Nothing."""\n')
    assert "'Options'" in problems_in("domain.name=empty")["domain.name"]
    with pytest.raises(ConfigError, match="a subclass of DomainOptions"):
        registry.find("empty")


def test_an_unknown_domain_is_refused_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'hotel'"):
        registry.find("hotl")


def test_own_data_are_a_domain_too_that_generates_nothing():
    own = registry.find("own")
    assert own.Options is JsonlOptions and "own" not in registry.names()
    with pytest.raises(ValidationError):
        own.Options.model_validate({"kind": "generated"})
