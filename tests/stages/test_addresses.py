"""Which keys of the configuration change which stages: every key of the schema, of the domain and of every method.

For each key another valid value is found and the addresses of all stages are computed; nothing is built or trained. The
tables say which stages read a key. A stage changes its address if it reads the key or if one of its parents changes;
every other address stays as it is. A key without an entry fails the test, and so does an entry that fits no key.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import BaseModel

from repo_exp.algorithms import registry
from repo_exp.config.check import load
from repo_exp.config.places import conf_dir
from repo_exp.config.schema import Config
from repo_exp.domains import registry as domains
from repo_exp.errors import ConfigError
from repo_exp.stages import asked_sources, pipeline

Table = Mapping[str, tuple[str, ...]]
TRAINED = ("sft", "reward_model", "judge", "policy")
MEASURED = ("capability", "evaluate")
SCORED = ("policy", *MEASURED)

# key -> the stages that read it; the first pattern that fits counts
READ_BY: Table = {
    # these decide where, how fast and whether a result is there, and what tables call it
    "store": (),
    "task.*": (),
    "logger.*": (),
    "trainer.*": (),
    "rollout.batch_size": (),
    "rollout.max_gap": (),
    "optimizer.max_skipped_steps": (),
    "reward.max_missing": (),
    "model.name": (),
    "algorithm.name": ("evaluate",),
    # these decide the result
    "seed": ("data",),
    "domain.rules": SCORED,
    "domain.rubric": ("judge", *SCORED),
    "data.*": ("data",),
    "model.lora.last_layers.policy": ("sft", "policy"),
    "model.lora.last_layers.value": ("policy",),
    "model.lora.last_layers.reward": ("reward_model",),
    "model.lora.last_layers.judge": ("judge",),
    "model.lora.*": TRAINED,
    "model.random.*": ("lengths", "sft", "judge"),
    "model.max_prompt_tokens": ("lengths", "sft", "judge"),
    "model.dtype": ("sft", "judge"),
    "model.engine": ("sft", "judge"),
    "model.attention": ("sft", "judge"),
    **dict.fromkeys(("model.package", "model.gguf", "model.hub", "model.folder"), ()),  # it is random
    "optimizer.learning_rate.value": ("policy",),
    **{f"optimizer.learning_rate.{name}": (name,) for name in TRAINED},
    "optimizer.*": TRAINED,
    "budget.updates": ("policy", "capability"),
    "budget.rollouts": ("policy",),
    "sft.*": ("sft",),
    "reward_model.*": ("reward_model",),
    "judge.hard": SCORED,
    "judge.*": ("judge",),
    "rollout.temperature": ("reward_model", "policy"),
    "rollout.max_new_tokens": ("lengths", "sft", "reward_model"),
    "rollout.correction.*": ("policy",),
    "evaluation.resamples": ("evaluate",),
    "evaluation.confidence": ("evaluate",),
    "evaluation.validation_*": ("capability",),
    "evaluation.sources": (),  # of the default, all are asked in training
    "evaluation.*": MEASURED,
    "reward.n": ("policy",),
    "reward.combine": ("policy",),
    "reward.rule_points": SCORED,
    "reward.drop_rules": SCORED,
    "reward.item_points": SCORED,
    "reward.drop_items": ("judge", *SCORED),
    **dict.fromkeys(("reward.weights*", "reward.gate.*", "reward.order", "reward.tolerance*"), ()),
    "reward.sources.model.kind": ("lengths", "reward_model", *SCORED),  # it then is no reward model
    "reward.sources.judge.kind": ("judge", *SCORED),
    "reward.sources*": ("policy",),
    "algorithm.*": ("policy",),
}
# overrides -> what is different from READ_BY
VARIANTS: dict[tuple[str, ...], Table] = {
    (): {},
    # from pairs: no reward, no samples
    ("algorithm=dpo",): {
        **dict.fromkeys(("rollout.temperature",), ("reward_model",)),
        **dict.fromkeys(("rollout.correction.*", "optimizer.learning_rate.value", "model.lora.last_layers.value"), ()),
        **dict.fromkeys(("reward.n", "reward.combine"), ()),
        "reward.sources.model.kind": ("lengths", "reward_model", *MEASURED),
        "reward.sources.judge.kind": ("judge", *MEASURED),
        "reward.sources.rules.kind": MEASURED,
        **dict.fromkeys(("domain.rules", "reward.rule_points", "reward.drop_rules", "reward.item_points"), MEASURED),
        "judge.hard": MEASURED,
        "reward.drop_items": ("judge", *MEASURED),
        "domain.rubric": ("judge", *MEASURED),
    },
    ("judge=openai", "judge.model=m"): {
        **dict.fromkeys((f"judge.{key}" for key in ("api_key_env", "concurrency", "timeout", "retries")), ()),
        **dict.fromkeys(("judge.max_calls", "judge.replay_only"), ()),
        **dict.fromkeys(("judge.*", "domain.rubric", "reward.drop_items", "reward.sources.judge.kind"), SCORED),
        **dict.fromkeys(("optimizer.learning_rate.judge", "model.lora.last_layers.judge"), ()),
    },
}
KINDS: dict[str, Table] = {  # the section reward_model of the kinds with a stage of their own before
    "rrm": {
        **dict.fromkeys(
            ("reward_model.epochs", "reward_model.batch_size", "reward_model.centring"), ("first_reward_model",)
        ),
        "reward_model.*": ("reward_model",),
    },
    "polar": {
        **dict.fromkeys(("reward_model.epochs", "reward_model.calibration_responses"), ("reward_model",)),
        "reward_model.*": ("reward_pretraining",),
    },
}
FIXED = (
    *(f"{section}.kind" for section in ("algorithm", "data", "judge", "reward_model", "optimizer", "rollout")),
    "domain.name", "model.source", "model.revision", "trainer.strategy", "reward.options",
)  # fmt: skip
"""Keys that have no other value in a configuration, unless others are added or removed with it."""
WITH: dict[str, tuple[str, Any]] = {"algorithm.kl_target": ("algorithm.kl_coefficient", 0.1)}
"""Keys that need another one first."""
TRIED: dict[str, list[Any]] = {  # values to try where the type does not give one
    "domain.rules": ["general"],
    "algorithm.condition": [{"source": "model", "threshold": 0.0, "otherwise": "lowest"}],
    "judge.base_url": ["http://localhost:9/v1"],
    "domain.rubric": ["general"],
    "algorithm.name": ["mine"],
    "reward.combine": ["weighted_sum"],
    "reward.rule_points": [{"too_long": -99.0}],
    "reward.drop_rules": [["too_long"]],
    "reward.item_points": [{"rude": -99.0}],
    "reward.drop_items": [["rude"]],
    "reward.weights": [{"judge": 2.0}],
    "reward.tolerance": [{"judge": 2.0}],
    "reward.sources.model.kind": ["rules"],
    "reward.sources.judge.kind": ["rules"],
    "reward.sources.rules.kind": ["length"],
    "model.dtype": ["bfloat16"],
    "logger.tags": [["x"]],
    "reward.order": [["rules", "judge", "model"]],
}


@functools.cache
def composed(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("config", overrides=["experiment=smoke", "model.dtype=float32", "store=nowhere", *overrides])
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def leaves(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every value; a list or an empty mapping is one."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def value_at(node: Any, path: tuple[str, ...]) -> Any:
    return functools.reduce(lambda inner, key: inner[key], path, node)


def replaced(node: Any, path: tuple[str, ...], value: Any) -> Any:
    return value if not path else {**node, path[0]: replaced(node[path[0]], path[1:], value)}


def literals(annotation: Any) -> Iterator[Any]:
    """Yield the values of every Literal in an annotation."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    for inner in typing.get_args(annotation):
        yield from literals(inner)


def annotations(annotation: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Yield what the types say of a path; several classes of a union may say something."""
    if not path:
        yield annotation
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if path[0] in annotation.model_fields:
            yield from annotations(annotation.model_fields[path[0]].annotation, path[1:])
    else:
        for inner in typing.get_args(annotation):
            yield from annotations(inner, path)


def other_values(plain: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[Any]:
    """Yield values that may suit a key, and are not the one it has."""
    name, value = ".".join(path), value_at(plain, path)
    yield from TRIED.get(name, ())
    if path[0] == "algorithm":
        options = registry.options_of(plain["algorithm"]["kind"])
        found = annotations(options, path[1:])
    elif path[0] == "data" and plain["data"]["kind"] == "generated":
        found = annotations(domains.find(plain["domain"]["name"]).Options, path[1:])
    else:
        found = annotations(Config, path)
    yield from (each for annotation in found for each in literals(annotation) if each != value)
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1, 2 * value, value // 2, 0.5)
    elif isinstance(value, float):
        yield from (value / 2, value * 1.5, 1 - value, value + 0.125, 2 * value, 0.9 * value)
    elif isinstance(value, list):
        yield from (
            value[::-1],
            value[:1],
            [*value, *value[:1]],
            [each / 2 for each in value if isinstance(each, float)],
        )
    elif isinstance(value, str):
        yield value + "x"
    yield from (0.5, 1, 2, "x", None)


@pytest.fixture(autouse=True)
def folders_read_once(monkeypatch):
    """Rules and rubrics are read once each: that they are read is not what is tested here."""
    for name in ("load_rules", "load_rubric"):
        honest, found = getattr(asked_sources, name), {}

        def read(folder, *, drop=(), points=(), honest=honest, found=found):
            key = (str(folder), tuple(drop), tuple(sorted(dict(points).items())))
            if key not in found:
                found[key] = honest(folder, drop=drop, points=dict(points))
            return found[key]

        monkeypatch.setattr(asked_sources, name, read)


def changed_by(plain: dict[str, Any], path: tuple[str, ...], before: Mapping[str, str]) -> set[str] | None:
    """Return the stages whose address another value changes; None where no other value is valid."""
    if name := WITH.get(".".join(path)):
        plain = replaced(plain, tuple(name[0].split(".")), name[1])
        before = pipeline.addresses(load(plain))
    for value in other_values(plain, path):
        if value == value_at(plain, path) and type(value) is type(value_at(plain, path)):
            continue
        try:
            after = pipeline.addresses(load(replaced(plain, path, value)))
        except ConfigError:
            continue
        return {stage for stage in before.keys() | after.keys() if before.get(stage) != after.get(stage)}
    return None


def with_descendants(stages: set[str], parents: Mapping[str, set[str]]) -> set[str]:
    """Return these stages and all that are made from them; ``parents`` has parents before children."""
    found = set(stages)
    for stage, of_it in parents.items():
        if found & of_it:
            found.add(stage)
    return found


def entry(table: Table, name: str) -> str | None:
    return next((pattern for pattern in table if fnmatchcase(name, pattern)), None)


def wrong_in(
    plain: dict[str, Any], tables: list[Table], keys: list[tuple[str, ...]], *, every: bool = False
) -> tuple[list[str], set[str]]:
    """Return what the tables have wrong of these keys, and which entries were used.

    Args:
        every: does each key need another value? Otherwise one without may change nothing.
    """
    config = load(plain)
    before = pipeline.addresses(config)
    parents = {stage.name: set(stage.parents(config).values()) for stage in pipeline.stages(config)}
    wrong, used = [], set()
    for path in keys:
        name = ".".join(path)
        if name in FIXED or (name, value_at(plain, path)) == ("algorithm.group_size", 2):  # of pairs of responses
            continue
        table = next((each for each in tables if entry(each, name) is not None), None)
        if table is None:
            wrong.append(f"{name} has no entry")
            continue
        pattern = entry(table, name)
        used.add(pattern)
        expected = with_descendants(set(table[pattern]) & parents.keys(), parents)
        found = changed_by(plain, path, before)
        if found is None and not expected and not every:
            continue
        if found is None:
            wrong.append(f"{name}: no other valid value was found")
        elif found != expected:
            wrong.append(f"{name}: changes {sorted(found)}, not {sorted(expected)}")
    return wrong, used


@pytest.mark.parametrize("overrides", VARIANTS, ids=lambda overrides: " ".join(overrides) or "default")
def test_a_key_changes_the_addresses_of_the_stages_that_read_it_and_no_others(overrides):
    plain = composed(*overrides)
    wrong, used = wrong_in(plain, [VARIANTS[overrides], READ_BY], list(leaves(plain)), every=not overrides)
    assert not wrong, "\n".join(wrong)
    assert set(VARIANTS[overrides]) <= used, "entries that fit no key"
    assert overrides or set(READ_BY) <= used, f"entries that fit no key: {set(READ_BY) - used}"


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_a_reward_model_changes_it_or_what_comes_before(kind):
    plain = composed(f"reward_model={kind}")
    settings = [path for path in leaves(plain) if path[0] == "reward_model"]
    wrong, used = wrong_in(plain, [KINDS[kind]], settings, every=True)
    assert not wrong and used == set(KINDS[kind]), "\n".join(wrong)


@pytest.mark.parametrize("kind", registry.names())
def test_every_option_of_every_method_changes_its_policy(kind):
    plain = composed(f"algorithm={kind}", "budget.rollouts=40")  # groups of many sizes fit
    options = [path for path in leaves(plain) if path[0] == "algorithm" and kind != "sft"]
    trained = ("algorithm.value_*", "algorithm.gamma", "algorithm.gae_lambda", "algorithm.advantage")
    value_model = dict.fromkeys(trained, ("value_model",))
    tables: list[Table] = [value_model, READ_BY] if kind == "dvpo" else [READ_BY]
    wrong, _ = wrong_in(plain, tables, options)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("method", ["repo", "grpo", "dpo", "simpo"])
def test_measuring_in_another_way_trains_nothing_again(method):
    """What was found once: validation off, another bound or other points of a rule trained the policy again."""
    plain = composed(f"algorithm={method}")
    before = pipeline.addresses(load(plain))
    for path in leaves(plain["evaluation"], ("evaluation",)):
        changed = changed_by(plain, path, before)
        assert changed is not None and changed <= set(MEASURED), path
    after = pipeline.addresses(load(replaced(plain, ("evaluation", "validation_every"), 0)))
    assert before.keys() - after.keys() == {"capability"}
    assert {name: before[name] for name in after} == after
