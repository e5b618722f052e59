"""pydantic's errors as problems: the config path, the value, and what would work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from repo_exp.config.renamed import new_choice, new_key
from repo_exp.config.schema import Config
from repo_exp.errors import Problem, did_you_mean
from repo_exp.redaction import masked

MISSING = "???"
KeyPath = tuple[str | int, ...]
"""Where a value is in the configuration: ('model', 'lora', 'rank')."""
_EXPECTED = {
    "missing": "a value",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text (in quotes if it looks like a number)",
    "string_too_short": "a name that is not empty",
    "string_pattern_mismatch": "small letters, digits and _ + . - only, a letter or digit first",
    "list_type": "a list: [a,b]",
    "tuple_type": "a list: [a,b]",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "none_required": "null",
}
_BOUND = {
    "greater_than": "above {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "below {lt:g}",
    "less_than_equal": "{le:g} or less",
}
_CHOICE = ("literal_error", "union_tag_invalid", "enum")


def dotted(path: Iterable[str | int]) -> str:
    """Return a config path as the command line writes it."""
    return ".".join(str(part) for part in path)


def lookup(container: Any, path: Iterable[str | int]) -> Any:
    """Return the value at a path, or None where the path leaves the container."""
    for part in path:
        if isinstance(container, Mapping) and part in container:
            container = container[part]
        elif isinstance(container, Sequence) and not isinstance(container, str) and isinstance(part, int):
            container = container[part] if part < len(container) else None
        else:
            return None
    return container


def missing_values(container: Any, path: KeyPath = ()) -> list[KeyPath]:
    """Return the paths of all values that are still ``???``."""
    if container == MISSING:
        return [path]
    if isinstance(container, Mapping):
        return [found for key, value in container.items() for found in missing_values(value, (*path, key))]
    if isinstance(container, list):
        return [found for index, value in enumerate(container) for found in missing_values(value, (*path, index))]
    return []


def problems_from(errors: Sequence[Mapping[str, Any]], container: Mapping[str, Any]) -> dict[KeyPath, Problem]:
    """Return one problem for each config path with an error.

    pydantic puts the tags of unions into its locations, and gives one error for each member of a union. Here a path has
    no tags, and what the members expect is joined by "or".
    """
    grouped: dict[KeyPath, list[Mapping[str, Any]]] = {}
    for error in errors:
        grouped.setdefault(_path(error, container), []).append(error)
    deeper = {path[:depth] for path in grouped for depth in range(len(path))}
    unknown = {path for path, group in grouped.items() if group[0]["type"] == "extra_forbidden"}
    absent = {path for path, group in grouped.items() if group[0]["type"] == "missing"}
    renamed = {new_key(path) for path in unknown}
    absent_now = {path for path in absent if dotted(path) in renamed}  # they are there under their old names
    problems = {}
    for path, group in grouped.items():
        if path in deeper and path not in unknown | absent:
            continue  # another member of a union got further
        if path in absent_now:
            continue
        if path in unknown:
            siblings = {*(lookup(container, path[:-1]) or {}), *(p[-1] for p in absent if p[:-1] == path[:-1])}
            siblings -= {p[-1] for p in unknown if p[:-1] == path[:-1]}
            problems[path] = unknown_key(path, siblings)
        elif path in absent:
            problems[path] = Problem(dotted(path), "this key has no value", f"{dotted(path)}=VALUE")
        else:
            problems[path] = _unsuitable(path, group, lookup(container, path))
    return problems


def unknown_key(path: Sequence[str | int], siblings: Iterable[Any]) -> Problem:
    """Return the problem of a key that does not exist: what it is called now, or the nearest one that exists."""
    siblings = [str(each) for each in siblings]
    section, _, name = (new := new_key(path) or "").rpartition(".")
    if new and (section != dotted(path[:-1]) or name in siblings):
        return Problem(dotted(path), "this key was renamed", f"{new}=VALUE")
    remedy = did_you_mean(str(path[-1]), siblings)
    if len(path) > 1:
        remedy = remedy.replace("did you mean '", f"did you mean '{dotted(path[:-1])}.")
    return Problem(dotted(path), "there is no such key", remedy)


def no_value(path: Sequence[str | int]) -> Problem:
    """Return the problem of a required value that is missing."""
    return Problem(dotted(path), "this value is required", f"add {dotted(path)}=VALUE to the command")


def unresolved(where: str, text: str, reason: str) -> Problem:
    """Return the problem of an interpolation that cannot be resolved.

    Args:
        text: as it was written.
        reason: OmegaConf's error.
    """
    found = f"{text} cannot be resolved"
    if variable := re.search(r"Environment variable '([^']+)' not found", reason):
        name = variable[1]
        return Problem(
            where,
            f"{found}: the environment variable {name} is not set",
            f"export {name}=..., or ${{oc.env:{name},DEFAULT}}",
        )
    if resolver := re.search(r"Unsupported interpolation type (\S+)", reason):
        return Problem(where, f"{found}: there is no resolver '{resolver[1]}'", "use oc.env, oc.decode or oc.select")
    if key := re.search(r"Interpolation key '([^']+)' not found", reason):
        remedy = f"${{{new}}}" if (new := new_key(key[1].split("."))) else "${reward.n} takes the value of reward.n"
        return Problem(where, f"{found}: there is no key '{key[1]}'", remedy)
    return Problem(where, found, "write a value, ${KEY} or ${oc.env:NAME}")


def _path(error: Mapping[str, Any], container: Any) -> KeyPath:
    """Return the location without the tags of unions."""
    path: list[str | int] = []
    location = list(error["loc"])
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(container, Mapping):
            # A tag is never a key; the last part may be a key that is missing.
            if part in container:
                container = container[part]
            elif not (last and error["type"] == "missing"):
                continue
            path.append(part)
        elif isinstance(container, list | tuple) and isinstance(part, int):
            container = container[part] if part < len(container) else None
            path.append(part)
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        path.append("kind")
    return tuple(path)


def _unsuitable(path: KeyPath, group: Sequence[Mapping[str, Any]], value: Any) -> Problem:
    if path[-1] == "api_key_env":  # it may be the key itself, which must not end up in a log
        found = "this is not the name of an environment variable (the value may be a secret and is not shown)"
        return Problem(
            dotted(path),
            found,
            "put the key into an environment variable, and the variable's name here: OPENAI_API_KEY",
        )
    if new := new_choice(dotted(path), value):
        return Problem(dotted(path), f"the value {value!r} was renamed", new)
    text = masked(repr(value))
    shown = "null" if value is None else text if len(text) < 60 else text[:57] + "..."
    shown = "an empty value" if value == "" else shown
    choices = [name for error in group if error["type"] in _CHOICE for name in _choices(error)]
    expected = dict.fromkeys(_expected(error) for error in group if error["type"] not in _CHOICE)
    remedies = [f"give {' or '.join(expected)}"] if expected else []
    remedies += [f"such as {dotted(path)}={better}"] if (better := _better(expected, value)) else []
    if "keys with values" in expected and (keys := keys_at(path)):
        remedies = [
            f"this is a section with the keys {', '.join(keys)}; set one of them: {dotted((*path, keys[0]))}=VALUE"
        ]
    if choices:
        remedies.append(did_you_mean(str(value), choices) if isinstance(value, str) else f"valid: {', '.join(choices)}")
    found = f"{shown} is not {'valid' if expected else 'supported'}"
    return Problem(dotted(path), found, "; ".join(remedies))


def keys_at(path: Iterable[str | int]) -> list[str]:
    """Return the keys of the section at a path; none where there is no section, or one of several types."""
    section: Any = Config
    for part in path:
        field = section.model_fields.get(str(part))
        section = field.annotation if field is not None else None
        members = [each for each in get_args(section) if each is not type(None)]
        section = members[0] if len(members) == 1 else section
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            return []
    return list(section.model_fields)


def _better(expected: Iterable[str], value: Any) -> str:
    """Return the value that was probably meant, where only its notation is wrong; otherwise ""."""
    number = str(value).strip() if isinstance(value, str | float) and not isinstance(value, bool) else ""
    if "a whole number" in expected and re.fullmatch(r"[+-]?\d+(\.0+)?", number):
        return str(int(float(number)))
    if "a whole number" in expected and re.fullmatch(r"\d+(\.\d+)?e\+?\d+", number, re.IGNORECASE):
        return str(int(float(number))) if float(number) < 1e18 else ""
    if "a number" in expected and re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", number, re.IGNORECASE):
        return number
    if "true or false" in expected and str(value).lower() in ("yes", "on", "1", "no", "off", "0", "true", "false"):
        return "true" if str(value).lower() in ("yes", "on", "1", "true") else "false"
    if "a list: [a,b]" in expected and isinstance(value, str) and value:
        return f"[{value}]"
    return ""


def _choices(error: Mapping[str, Any]) -> list[str]:
    values = error.get("ctx", {})
    return re.findall(r"'([^']*)'", str(values.get("expected") or values.get("expected_tags") or ""))


def _expected(error: Mapping[str, Any]) -> str:
    kind, values = error["type"], error.get("ctx", {})
    if kind in _BOUND:
        return (
            "a number of " + _BOUND[kind].format(**values)
            if kind.endswith("equal")
            else ("a number " + _BOUND[kind].format(**values))
        )
    if kind == "too_short":
        return f"at least {values['min_length']} " + ("entry" if values["min_length"] == 1 else "entries")
    if kind == "too_long":
        return f"at most {values['max_length']} entries"
    return _EXPECTED.get(kind) or error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
