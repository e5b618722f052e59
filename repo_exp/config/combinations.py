"""Checks of values that are valid by themselves but impossible together, with what would work.

A check takes the configuration and yields problems. Some values of the configuration may be invalid (``check.View``): a
check ends where it reads one of these. To add a check, write it and list it at the end.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from repo_exp.config.places import cannot_create
from repo_exp.config.reward_combinations import REWARD
from repo_exp.config.schema import Config
from repo_exp.domains import registry
from repo_exp.errors import Problem, did_you_mean

Check = Callable[[Config], Iterable[Problem]]


def domain_is_there(c: Any) -> Iterator[Problem]:
    """A domain is a folder of the program, or 'own', which means that the data are your own."""
    domains = registry.names()
    if c.domain.name not in (*domains, "own"):
        yield Problem(
            "domain.name", f"there is no domain {c.domain.name!r}", did_you_mean(c.domain.name, [*domains, "own"])
        )
    elif c.data.kind == "generated" and c.domain.name not in domains:
        yield Problem(
            "domain.name",
            f"the domain {c.domain.name!r} generates no data, and data.kind is generated",
            f"data=jsonl data.path=FILE for your own data; or domain={domains[0]}",
        )


def data_file_is_there(c: Config) -> Iterator[Problem]:
    """A file or folder of data has to exist. ``stages/checks.py`` reads it."""
    if c.data.kind != "jsonl":
        return
    if not os.path.exists(c.data.path):
        found = f"there is no such file or folder: {os.path.abspath(c.data.path)}"
        yield Problem("data.path", found, "data.path=PATH, an absolute path or one from the current folder")
    if c.data.development + c.data.test >= 0.9:
        share = c.data.development + c.data.test
        yield Problem(
            "data.development", f"development and test take {share:.0%} of the data", "leave most of it for training"
        )


def prompts_suffice(c: Any) -> Iterator[Problem]:
    """There are enough test prompts for an interval."""
    for key, count in _held_out(c, "test"):
        if count < 2:
            yield Problem(key, f"{count} prompt shows no variation", "2 or more; 96 gives narrow intervals")


def validation_has_its_prompts(c: Any) -> Iterator[Problem]:
    """The validation during training is taken on development prompts."""
    wanted = c.evaluation.validation_prompts if c.evaluation.validation_every else 0
    for key, there in _held_out(c, "development"):
        if wanted > there:
            yield Problem(
                "evaluation.validation_prompts",
                f"{wanted} are more than the development prompts ({there})",
                f"at most {there}, or a larger {key}",
            )


def _held_out(c: Any, split: str) -> Iterator[tuple[str, int]]:
    """Yield the key that says how many prompts a split has, and how many; nothing where that is not known yet."""
    for each in c.data.amounts():
        if (each.part, each.split) == ("prompts", split):
            yield f"data.{each.key}", each.count


def minibatches_divide(c: Config) -> Iterator[Problem]:
    """The responses of an update are split into equal minibatches."""
    pieces, rollouts = c.algorithm.get("minibatches"), c.budget.rollouts
    if isinstance(pieces, int) and pieces > 0 and rollouts % pieces:
        divisors = [str(d) for d in range(1, min(rollouts, 64) + 1) if rollouts % d == 0]
        yield Problem(
            "algorithm.minibatches",
            f"budget.rollouts = {rollouts} responses cannot be split into {pieces} equal minibatches",
            f"one of {', '.join(divisors)}; or another budget.rollouts",
        )


def groups_divide(c: Config) -> Iterator[Problem]:
    """The responses of an update are made of whole groups."""
    size, rollouts = c.algorithm.get("group_size"), c.budget.rollouts
    if isinstance(size, int) and size > 1 and rollouts % size:
        whole = max(rollouts // size, 1) * size
        yield Problem(
            "algorithm.group_size",
            f"budget.rollouts = {rollouts} is not a multiple of the group size {size}",
            f"budget.rollouts={whole} or {whole + size}; or another group_size",
        )


def backbone_has_its_source(c: Config) -> Iterator[Problem]:
    """The source of a model decides which other keys it needs."""
    m, package = c.model, "model.package and model.gguf"
    packaged = bool(m.package and m.gguf)
    if m.source == "folder" and not m.folder:
        yield Problem(
            "model.folder",
            "model.source is folder, and model.folder is not set",
            "model.folder=PATH; or model.source=hub model.hub=NAME",
        )
    elif m.source == "folder" and m.folder and not Path(m.folder).is_dir():
        yield Problem(
            "model.folder",
            f"there is no such folder: {Path(m.folder).resolve()}",
            "a folder with config.json, a tokenizer and weights",
        )
    elif m.source == "hub" and not m.hub:
        yield Problem(
            "model.hub", "model.source is hub, and model.hub is not set", "model.hub=NAME, such as Qwen/Qwen3-0.6B"
        )
    elif m.source == "package" and not packaged:
        yield Problem("model.package", f"model.source is package, which needs {package}", "model=smollm2_135m has both")
    elif m.source == "auto" and not packaged and not m.hub:
        yield Problem("model.source", f"auto needs {package}, or model.hub; none of them is set", "model.hub=NAME")
    elif m.source == "random" and m.random is None:
        yield Problem("model.random", "model.source is random, and model.random is not set", "model=tiny has one")
    if m.revision and m.source != "hub":
        found = f"the revision {m.revision!r} needs a model on the hub, and model.source is {m.source}"
        yield Problem("model.revision", found, "model.source=hub; or leave it out")


def store_can_be_written(c: Config) -> Iterator[Problem]:
    """Artifacts need a folder that can be written."""
    if reason := cannot_create(Path(c.store)):
        yield Problem("store", reason, "store=FOLDER, a folder that can be written; it is created if it does not exist")


def one_device(c: Config) -> Iterator[Problem]:
    """A run uses one device: sampling and checkpoints of online methods are written for a single process."""
    if c.trainer.devices not in (1, "auto"):
        yield Problem(
            "trainer.devices",
            f"{c.trainer.devices} devices are not supported: the processes would wait for one another for ever",
            "trainer.devices=1; the jobs of a sweep can run side by side",
        )
    if c.trainer.strategy != "auto":
        yield Problem(
            "trainer.strategy",
            f"{c.trainer.strategy!r} is not supported: a run uses one device",
            "trainer.strategy=auto",
        )


def random_shape_fits(c: Config) -> Iterator[Problem]:
    """The shape of a random model has to be one that attention can compute with."""
    shape = c.model.random
    if shape is None:
        return
    if shape.hidden_size % shape.heads:
        yield Problem(
            "model.random.heads",
            f"hidden_size = {shape.hidden_size} is not a multiple of heads = {shape.heads}",
            "a number of heads that divides hidden_size",
        )
    elif (shape.hidden_size // shape.heads) % 2:
        yield Problem(
            "model.random.heads",
            f"the width of a head is hidden_size / heads = {shape.hidden_size // shape.heads}, which is odd",
            "rotary position embeddings need an even width",
        )
    if shape.heads % shape.key_value_heads:
        yield Problem(
            "model.random.key_value_heads",
            f"heads = {shape.heads} is not a multiple of key_value_heads = {shape.key_value_heads}",
            "a number that divides heads",
        )


def adapters_fit(c: Config) -> Iterator[Problem]:
    """A random model has as many layers as its adapters ask for."""
    if c.model.random is None or c.model.source != "random":
        return
    for role in ("policy", "value", "reward", "judge"):
        wanted = getattr(c.model.lora.last_layers, role)
        if wanted is not None and wanted > c.model.random.layers:
            yield Problem(
                f"model.lora.last_layers.{role}",
                f"{wanted} layers, and the model has {c.model.random.layers}",
                f"at most {c.model.random.layers}; null for all",
            )


COMBINATIONS: tuple[Check, ...] = (
    *REWARD,
    domain_is_there,
    data_file_is_there,
    prompts_suffice,
    validation_has_its_prompts,
    minibatches_divide,
    groups_divide,
    backbone_has_its_source,
    one_device,
    store_can_be_written,
    random_shape_fits,
    adapters_fit,
)
