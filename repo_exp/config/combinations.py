"""What only several values together can show to be impossible: each with its reason and a way out.

A check takes the configuration and yields problems. It may be given one of which other values are wrong:
what it reads is sound, or it ends there and then. To add a check, write it and list it at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from repo_exp.algorithms.registry import learns_from
from repo_exp.config.places import PACKAGE, cannot_be_made, conf_dir, rubric_folder, rules_folder, stems
from repo_exp.errors import Problem, did_you_mean

Check = Callable[[Any], Iterable[Problem]]


def judge_is_there(c: Any) -> Iterator[Problem]:
    """A reward that asks the judge needs one."""
    if "judge" in c.reward.sources and c.judge.kind == "none" and _reward_is_asked(c):
        yield Problem(
            "judge.kind",
            f"there is no judge, but reward.sources asks it: {_listed(c.reward.sources)}",
            "judge=local or judge=openai; or a reward without the judge, such as reward=rm+rf",
        )


def join_has_its_source(c: Any) -> Iterator[Problem]:
    """A reward of the reward model alone needs the reward model."""
    if c.reward.join == "model_only" and "model" not in c.reward.sources and not _learns_from_pairs(c):
        yield Problem(
            "reward.join",
            f"model_only takes the reward model's score, but reward.sources is {_listed(c.reward.sources)}",
            "a reward with rm in its name, such as reward=rm; or algorithm=repo, which joins what there is",
        )


def join_has_its_listener(c: Any) -> Iterator[Problem]:
    """A method that learns from pairs asks no reward; whoever chooses a join for it expects that it does."""
    if c.reward.join != "enhancement" and _learns_from_pairs(c):
        yield Problem(
            "reward.join",
            f"{c.algorithm['name']} learns from pairs and asks no reward, so {c.reward.join} would change nothing",
            "leave it out (the evaluation joins by the enhancement anyway); or an online method: algorithm=grpo",
        )


def gate_has_its_source(c: Any) -> Iterator[Problem]:
    """A gate opens for a source that is asked."""
    if c.reward.join == "gated" and c.reward.gate.source not in c.reward.sources:
        yield Problem(
            "reward.gate.source",
            f"the gate opens for {c.reward.gate.source}, but reward.sources is {_listed(c.reward.sources)}",
            f"one of {_listed(c.reward.sources)}; or a reward that asks it, such as reward=rm+rf",
        )


def order_is_whole(c: Any) -> Iterator[Problem]:
    """An order of importance names every source that is asked, and each once."""
    left_out = [name for name in c.reward.sources if name not in c.reward.order]
    if c.reward.join == "lexicographic" and left_out:
        yield Problem("reward.order", f"{_listed(left_out)} has no place in {_listed(c.reward.order)}", "name it too")
    elif len(set(c.reward.order)) < len(c.reward.order):
        yield Problem("reward.order", f"a source is listed twice: {_listed(c.reward.order)}", "list each once")


def sources_differ(c: Any) -> Iterator[Problem]:
    """A source speaks once."""
    if len(set(c.reward.sources)) < len(c.reward.sources):
        yield Problem("reward.sources", f"a source is listed twice: {_listed(c.reward.sources)}", "list each once")


def domain_is_there(c: Any) -> Iterator[Problem]:
    """A domain is a folder of the program, or 'own', which means that the data are your own."""
    folder = PACKAGE / "domains"
    known = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name.isidentifier())
    known = [name for name in known if not name.startswith("_") and name != "own_data"]
    if c.domain.name not in (*known, "own"):
        yield Problem(
            "domain.name", f"there is no domain {c.domain.name!r}", did_you_mean(c.domain.name, [*known, "own"])
        )
    elif c.data.kind == "generated" and c.domain.name not in known:
        yield Problem(
            "domain.name",
            f"the domain {c.domain.name!r} generates no data, and data.kind is generated",
            "data=jsonl data.path=FILE for your own data; or domain=hotel",
        )


def data_file_is_there(c: Any) -> Iterator[Problem]:
    """A file or folder of data has to exist; whether it can be read is seen when it is (``job.py``)."""
    if c.data.kind != "jsonl":
        return
    if not os.path.exists(c.data.path):
        found = f"there is no such file or folder: {os.path.abspath(c.data.path)}"
        yield Problem("data.path", found, "data.path=PATH, from the folder you are in or whole")
    if c.data.development + c.data.test >= 0.9:
        share = c.data.development + c.data.test
        yield Problem(
            "data.development", f"development and test take {share:.0%} of the data", "leave most of it for training"
        )


def contexts_suffice(c: Any) -> Iterator[Problem]:
    """Held-out contexts have to suffice for what is asked of them."""
    if c.data.kind != "generated":
        return
    if c.data.contexts.test < 2:
        yield Problem(
            "data.contexts.test",
            f"{c.data.contexts.test} context shows no spread",
            "2 or more; 96 gives narrow intervals",
        )


def capability_has_its_contexts(c: Any) -> Iterator[Problem]:
    """The capability score during training is taken on development contexts."""
    if c.data.kind != "generated" or not c.evaluation.capability_every:
        return
    wanted, there = c.evaluation.capability_contexts, c.data.contexts.development
    if wanted > there:
        yield Problem(
            "evaluation.capability_contexts",
            f"{wanted} are more than the development contexts ({there})",
            f"at most {there}, or a larger data.contexts.development",
        )


def minibatches_divide(c: Any) -> Iterator[Problem]:
    """A round of replies is cut into equal minibatches."""
    pieces, rollouts = c.algorithm.get("minibatches"), c.budget.rollouts
    if isinstance(pieces, int) and pieces > 0 and rollouts % pieces:
        divisors = [str(d) for d in range(1, min(rollouts, 64) + 1) if rollouts % d == 0]
        yield Problem(
            "algorithm.minibatches",
            f"budget.rollouts = {rollouts} replies cannot be cut into {pieces} equal parts",
            f"one of {', '.join(divisors)}; or another budget.rollouts",
        )


def groups_divide(c: Any) -> Iterator[Problem]:
    """A round of replies is made of whole groups."""
    size, rollouts = c.algorithm.get("group_size"), c.budget.rollouts
    if isinstance(size, int) and size > 1 and rollouts % size:
        whole = max(rollouts // size, 1) * size
        yield Problem(
            "algorithm.group_size",
            f"budget.rollouts = {rollouts} replies do not make whole groups of {size}",
            f"budget.rollouts={whole} or {whole + size}; or another group_size",
        )


def polar_has_room_and_two_policies(c: Any) -> Iterator[Problem]:
    """POLAR lays two trajectories out in one row, and tells policies of a pool apart."""
    if c.reward_model.kind != "polar":
        return
    least = 4 * c.rollout.max_new_tokens + 128  # two replies of twice that length, and a short prompt twice
    if c.reward_model.max_tokens < least:
        yield Problem(
            "reward_model.max_tokens",
            f"{c.reward_model.max_tokens} tokens leave no room beside replies of {c.rollout.max_new_tokens}",
            f"{least} or more; or a smaller rollout.max_new_tokens",
        )
    if len({*c.reward_model.adapters}) * len({*c.reward_model.temperatures}) < 2:
        yield Problem(
            "reward_model.adapters",
            "the pool has a single policy, with nobody to be told from",
            "several adapters or temperatures, such as reward_model.adapters=[0.0,1.0]",
        )


def named_rules_exist(c: Any) -> Iterator[Problem]:
    """Rules that are dropped or weighed have to be in the folder."""
    yield from _folder_and_names(
        "rule",
        "domain.rules",
        c.domain.rules,
        rules_folder(c.domain.rules),
        "rules" in c.reward.sources,
        {"reward.drop_rules": c.reward.drop_rules, "reward.rule_points": c.reward.rule_points},
    )


def named_items_exist(c: Any) -> Iterator[Problem]:
    """Rubric items that are dropped or weighed have to be in the folder."""
    yield from _folder_and_names(
        "rubric item",
        "domain.rubric",
        c.domain.rubric,
        rubric_folder(c.domain.rubric),
        "judge" in c.reward.sources,
        {"reward.drop_items": c.reward.drop_items, "reward.item_points": c.reward.item_points},
    )


def backbone_has_its_source(c: Any) -> Iterator[Problem]:
    """Where a model comes from says what else has to be given."""
    m, package = c.model, "model.package and model.gguf"
    packaged = bool(m.package and m.gguf)
    if m.source == "folder" and not m.folder:
        yield Problem(
            "model.folder",
            "model.source is folder, and none is given",
            "model.folder=PATH; or model.source=hub model.hub=NAME",
        )
    elif m.source == "folder" and not Path(m.folder).is_dir():
        yield Problem(
            "model.folder",
            f"there is no such folder: {Path(m.folder).resolve()}",
            "a folder with config.json, a tokenizer and weights",
        )
    elif m.source == "hub" and not m.hub:
        yield Problem(
            "model.hub", "model.source is hub, and no name is given", "model.hub=NAME, such as Qwen/Qwen3-0.6B"
        )
    elif m.source == "package" and not packaged:
        yield Problem("model.package", f"model.source is package, which needs {package}", "model=smollm2_135m has both")
    elif m.source == "auto" and not packaged and not m.hub:
        yield Problem("model.source", f"auto needs {package}, or model.hub; none is given", "model.hub=NAME")
    elif m.source == "random" and m.random is None:
        yield Problem("model.random", "model.source is random, and no shape is given", "model=tiny has one")
    if m.revision and m.source != "hub":
        found = f"{m.revision!r} is of a model on the hub, and model.source is {m.source}"
        yield Problem("model.revision", found, "model.source=hub; or leave it out")


def store_can_be_written(c: Any) -> Iterator[Problem]:
    """Artifacts need a folder that can be written, unless they are there."""
    if reason := cannot_be_made(Path(c.store)):
        yield Problem("store", reason, "store=FOLDER, one that can be written; it is made if it is not there")


def one_device(c: Any) -> Iterator[Problem]:
    """A run uses one device; the online learner's draws and checkpoints are those of a single process."""
    if c.trainer.devices not in (1, "auto"):
        yield Problem(
            "trainer.devices",
            f"{c.trainer.devices} devices would wait for one another for ever: a run uses one",
            "trainer.devices=1; several runs of a sweep can go side by side",
        )
    if c.trainer.strategy != "auto":
        yield Problem(
            "trainer.strategy",
            f"{c.trainer.strategy!r} is no strategy for one device, and a run uses one",
            "trainer.strategy=auto",
        )


def random_shape_fits(c: Any) -> Iterator[Problem]:
    """The shape of a random model has to be one that attention can compute with."""
    shape = c.model.random
    if shape is None:
        return
    if shape.hidden_size % shape.heads:
        yield Problem(
            "model.random.heads",
            f"hidden_size = {shape.hidden_size} is no multiple of heads = {shape.heads}",
            "a number of heads that divides hidden_size",
        )
    elif (shape.hidden_size // shape.heads) % 2:
        yield Problem(
            "model.random.heads",
            f"each head is {shape.hidden_size // shape.heads} wide, which is odd",
            "rotary positions need an even hidden_size / heads",
        )
    if shape.heads % shape.key_value_heads:
        yield Problem(
            "model.random.key_value_heads",
            f"heads = {shape.heads} is no multiple of key_value_heads = {shape.key_value_heads}",
            "a number that divides heads",
        )


def adapters_fit(c: Any) -> Iterator[Problem]:
    """A random model has as many layers as its adapters ask for."""
    if c.model.random is None or c.model.source != "random":
        return
    for role in ("policy", "value", "reward", "judge"):
        wanted = getattr(c.model.lora.last_layers, role)
        if wanted is not None and wanted > c.model.random.layers:
            yield Problem(
                f"model.lora.last_layers.{role}",
                f"{wanted} of {c.model.random.layers} layers",
                f"at most {c.model.random.layers}; null for all",
            )


def _learns_from_pairs(c: Any) -> bool:
    return learns_from(c.algorithm["kind"]) == "pairs"


def _reward_is_asked(c: Any) -> bool:
    """Is the reward asked while learning, or by the evaluation?"""
    return c.evaluation.sources == "as_trained" or not _learns_from_pairs(c)


def _folder_and_names(
    what: str, where: str, name: str, folder: Path, needed: bool, mentioned: dict[str, Iterable[str]]
) -> Iterator[Problem]:
    if not folder.is_dir():
        if needed:
            shelf = conf_dir() / where.removeprefix("domain.")
            known = [path.name for path in shelf.iterdir() if path.is_dir()] if shelf.is_dir() else []
            yield Problem(where, f"there is no folder {name!r}", f"{did_you_mean(name, known)} or give a path")
        return
    known = stems(folder)
    if needed and not known:
        yield Problem(where, f"the folder holds no {what}: {folder}", f"one YAML file for each {what}")
        return
    for key, names in mentioned.items():
        for unknown in (each for each in names if each not in known):
            yield Problem(key, f"there is no {what} {unknown!r} in {name!r}", did_you_mean(unknown, known))
    (drops, dropped), (points, weighed) = mentioned.items()
    for both in (each for each in weighed if each in list(dropped)):
        yield Problem(points, f"{both!r} is in {drops} as well", "leave it out of one of them")
    if needed and not set(known) - set(dropped):
        yield Problem(drops, f"no {what} is left", "leave the source out instead, such as reward=rm")


def _listed(names: Iterable[str]) -> str:
    return "[" + ", ".join(names) + "]"


COMBINATIONS: tuple[Check, ...] = (
    judge_is_there,
    join_has_its_source,
    join_has_its_listener,
    gate_has_its_source,
    order_is_whole,
    sources_differ,
    domain_is_there,
    data_file_is_there,
    contexts_suffice,
    capability_has_its_contexts,
    minibatches_divide,
    groups_divide,
    polar_has_room_and_two_policies,
    named_rules_exist,
    named_items_exist,
    backbone_has_its_source,
    one_device,
    store_can_be_written,
    random_shape_fits,
    adapters_fit,
)
