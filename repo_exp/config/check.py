"""Validates a whole configuration before anything is loaded: every problem at once, or a typed ``Config``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from repo_exp.algorithms.options.base import MethodOptions
from repo_exp.algorithms.registry import names, options_of
from repo_exp.config.combinations import COMBINATIONS
from repo_exp.config.containers import as_written, text_of
from repo_exp.config.domain_data import typed_data
from repo_exp.config.places import PATHS, expanded
from repo_exp.config.reward_sources import completed
from repo_exp.config.schema import Config
from repo_exp.config.secrecy import secrets_in
from repo_exp.config.wording import (
    MISSING,
    KeyPath,
    dotted,
    lookup,
    missing_values,
    no_value,
    problems_from,
    unresolved,
)
from repo_exp.errors import ConfigError, Problem, did_you_mean, from_system

Check = Callable[[Config], Iterable[Problem]]


def load(cfg: DictConfig | Mapping[str, Any], *, checks: Iterable[Check] = ()) -> Config:
    """Return the configuration, typed and valid.

    Args:
        cfg: what Hydra composed (the ``hydra`` node is ignored), or a plain mapping.
        checks: those that other layers make; each gets the configuration and yields problems.

    Raises:
        ConfigError: with all problems.
    """
    config, problems = validate(cfg, checks=checks)
    if config is None:
        raise refusal(problems)
    return config


def validate(
    cfg: DictConfig | Mapping[str, Any], *, checks: Iterable[Check] = ()
) -> tuple[Config | None, list[Problem]]:
    """Return the typed configuration (None if it is not valid), and all its problems."""
    container, unresolved_ones = resolved(cfg)
    config, problems = validate_values(container, checks=checks)
    if problems and isinstance(cfg, DictConfig) and (decoded := _decoded(cfg, container, problems)) is not None:
        config, problems = validate_values(decoded, checks=checks)
    unresolved_ones += secrets_in(container)
    already = {problem.where for problem in unresolved_ones}
    problems = unresolved_ones + [problem for problem in problems if problem.where not in already]
    return (config if not problems else None), problems


def refusal(problems: Iterable[Problem]) -> ConfigError:
    """Return the error that lists these problems, each once."""
    unique = tuple(dict.fromkeys(problems))
    count = "one problem" if len(unique) == 1 else f"{len(unique)} problems"
    return ConfigError(f"The configuration cannot run: {count}.", unique)


def resolved(cfg: DictConfig | Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the configuration as dicts and lists with interpolations resolved, and the problems of those that fail."""
    if not isinstance(cfg, DictConfig):
        return {str(key): value for key, value in cfg.items() if key != "hydra"}, []
    problems: list[Problem] = []
    return _resolve(cfg, (), problems, skip=("hydra",)), problems


def _resolve(node: Any, path: KeyPath, problems: list[Problem], skip: tuple[str, ...] = ()) -> Any:
    if isinstance(node, DictConfig | ListConfig):
        keys = list(node) if isinstance(node, DictConfig) else range(len(node))
        values = {}
        for key in keys:
            if key in skip:
                continue
            if OmegaConf.is_missing(node, key):
                values[key] = MISSING
                continue
            try:
                value = node[key]
            except (OmegaConfBaseException, ValueError, TypeError) as error:
                problems.append(unresolved(dotted((*path, key)), text_of(node, key), str(error)))
                values[key] = MISSING
                continue
            values[key] = _resolve(value, (*path, key), problems)
        return values if isinstance(node, DictConfig) else list(values.values())
    return node


def _decoded(cfg: DictConfig, container: dict[str, Any], problems: Iterable[Problem]) -> dict[str, Any] | None:
    """Return the values with those of environment variables read as JSON where text is not valid; None if none is.

    An environment variable is text. ``seed=${oc.env:SEED,3}`` means the number all the same.
    """
    raw, changed = as_written(cfg), None
    for path in (problem.where.split(".") for problem in problems):
        if not str(lookup(raw, path)).startswith("${oc.env:") or not isinstance(lookup(container, path), str):
            continue
        with contextlib.suppress(ValueError):
            changed = _replaced(changed or container, path, json.loads(lookup(container, path)))
    return changed


class InvalidValueError(Exception):
    """A check reads a value that is itself a problem."""


class View:
    """A configuration with some invalid values. It reads like ``Config``; reading an invalid value raises."""

    def __init__(self, value: Mapping[str, Any], bad: frozenset[KeyPath], path: KeyPath = ()) -> None:
        self._value, self._bad, self._path = value, bad, path

    def __getattr__(self, name: str) -> Any:
        path = (*self._path, name)
        if name.startswith("__"):
            raise AttributeError(name)
        # An unknown key affects only itself; an invalid value affects every list or tuple that contains it.
        if path in self._bad or name not in self._value:
            raise InvalidValueError(dotted(path))
        value = self._value[name]
        if isinstance(value, Mapping) and path not in (("algorithm",),):
            return View(value, self._bad, path)
        if any(bad[: len(path)] == path for bad in self._bad):
            raise InvalidValueError(dotted(path))
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._value)

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)


def validate_values(
    container: Mapping[str, Any], *, checks: Iterable[Check] = ()
) -> tuple[Config | None, list[Problem]]:
    """Return the typed configuration (None if it is not valid), and all its problems.

    Combinations of values are checked even where other values are wrong. An algorithm's options may have a check of
    their own, ``Options.problems(config)``.
    """
    container = _with_home(container)
    missing = {path: no_value(path) for path in missing_values(container)}
    options, in_algorithm = _algorithm(container)
    container, in_sources = completed(container)
    container, in_data = typed_data(container)
    config, in_config = _typed(container)
    found = {**in_config, **in_algorithm, **in_sources, **in_data, **missing}
    problems = list(found.values())
    subject = config if config is not None and not problems else cast(Config, View(container, frozenset(found)))
    every = [*COMBINATIONS, *checks]
    if options is not None:
        every.append(options.problems)
    for check in every:
        try:
            problems.extend(check(subject))
        except InvalidValueError:
            continue
        except OSError as error:
            problems.append(from_system(error))
    return (config if not problems else None), problems


def type_problems(container: Mapping[str, Any], path: Sequence[str], value: Any) -> list[Problem]:
    """Return the problems of a value's type, with the value at this path of a configuration."""
    changed = _replaced(container, path, value)
    full, in_sources = completed(changed)
    full, in_data = typed_data(full)
    found = {**_typed(full)[1], **_algorithm(changed)[1], **in_sources, **in_data}
    return [problem for where, problem in found.items() if where[: len(path)] == tuple(path)]


def _replaced(node: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    inside = dict(node) if isinstance(node, Mapping) else {}
    return inside | {path[0]: _replaced(inside.get(path[0]), path[1:], value)}


def _with_home(container: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with a leading ``~`` of paths replaced by the home folder."""
    for path in (each.split(".") for each in PATHS):
        value = lookup(container, path)
        if isinstance(value, str) and value.startswith("~"):
            container = _replaced(container, path, str(expanded(value)))
    return container


def _typed(container: Mapping[str, Any]) -> tuple[Config | None, dict[KeyPath, Problem]]:
    try:
        return Config.model_validate(container), {}
    except ValidationError as error:
        return None, problems_from(error.errors(include_url=False), container)


def _algorithm(container: Mapping[str, Any]) -> tuple[MethodOptions | None, dict[KeyPath, Problem]]:
    """Return the typed algorithm section (None if it is not valid), and its problems by path."""
    section = container.get("algorithm")
    if not isinstance(section, Mapping):
        return None, {}
    kind, path = section.get("kind", MISSING), ("algorithm", "kind")
    if kind == MISSING:
        return None, {path: no_value(path)}
    if kind not in names():
        remedy = did_you_mean(str(kind), names())
        return None, {path: Problem(dotted(path), f"there is no algorithm {kind!r}", remedy)}
    try:
        return options_of(str(kind)).model_validate(dict(section), strict=True), {}
    except ValidationError as error:
        errors = [{**each, "loc": ("algorithm", *each["loc"])} for each in error.errors(include_url=False)]
        return None, problems_from(errors, {"algorithm": lookup(container, ("algorithm",))})
