"""Command lines that Hydra's grammar rejects: the error, and the correct form.

The parser's own errors name its classes and its tokens. This file recognises the usual mistakes. What a remedy proposes
has been parsed before.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence

from repo_exp.errors import Problem, did_you_mean

Parses = Callable[[str], bool]

CLOSES = {"[": "]", "{": "}", "(": ")"}
SWEEPS = ("choice", "range", "interval", "glob", "shuffle", "sort")
FUNCTIONS = (*SWEEPS, "tag", "extend_list", "int", "float", "str", "bool", "json_str")
KEY = re.compile(r"[A-Za-z_][\w./@-]*")

# The name in other libraries -> our key, where the names differ too much for ``did_you_mean``.
ALIASES = {
    "lr": "optimizer.learning_rate.policy",
    "learning_rate": "optimizer.learning_rate.policy",
    "policy_lr": "optimizer.learning_rate.policy",
    "value_lr": "optimizer.learning_rate.value",
    "steps": "budget.updates",
    "max_steps": "budget.updates",
    "num_steps": "budget.updates",
    "max_length": "rollout.max_new_tokens",
    "max_completion_length": "rollout.max_new_tokens",
    "train_batch_size": "budget.rollouts",
    "num_generations": "algorithm.group_size",
    "kl": "algorithm.kl_coefficient",
    "kl_coef": "algorithm.kl_coefficient",
    "lora_r": "model.lora.rank",
    "lora_rank": "model.lora.rank",
    "lora_alpha": "model.lora.alpha",
    "model_name": "model.hub",
    "model_name_or_path": "model.hub",
    "gpus": "trainer.devices",
    "num_gpus": "trainer.devices",
    "device": "trainer.accelerator",
    "dataset": "data.path",
    "train_file": "data.path",
    "output_dir": "hydra.run.dir",
}


def shell(text: str) -> str:
    """Return an argument as it is typed, in quotes where a shell needs them."""
    if re.fullmatch(r"[\w@%+=:,./~-]+", text):
        return text
    return shlex.quote(text) if "'" not in text or re.search(r'[$`\\"!]', text) else f'"{text}"'


def without_secret(text: str) -> str:
    """Return an override or flag without its value if that may be a secret: messages end up in logs."""
    key, sign, _ = text.partition("=") if "=" in text else text.partition(" ")
    secret = re.search(r"api_?-?key|secret|password|(^|[_-])token$|[_-]key$", key, re.IGNORECASE)
    return f"{key}{sign}..." if secret and sign else text


def split_at_blanks(arguments: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Return the overrides that are whole, and the problems of those that are split at blanks."""
    kept, problems, rest = [], [], list(arguments)
    while rest:
        text = rest.pop(0)
        if KEY.fullmatch(text) and rest and rest[0].startswith("="):
            parts = [text, rest.pop(0)]
            if parts[-1] == "=" and rest and "=" not in rest[0]:
                parts.append(rest.pop(0))
            problems.append(Problem(" ".join(parts), "there are blanks around the =", shell("".join(parts))))
        elif KEY.fullmatch(text[:-1]) and text.endswith("=") and rest and not re.search(r"[=~]", rest[0]):
            problems.append(Problem(f"{text} {rest[0]}", "there is a blank after the =", shell(text + rest.pop(0))))
        elif KEY.fullmatch(text) and rest and not re.search(r"[=~]", rest[0]):
            problems.append(
                Problem(f"{text} {rest[0]}", "there is a blank in place of =", shell(f"{text}={rest.pop(0)}"))
            )
        elif (count := _until_closed(text, rest)) > 0:
            whole = " ".join([text, *rest[:count]])
            del rest[:count]
            problems.append(Problem(whole, "a value with blanks needs quotes in the shell", shell(whole)))
        else:
            kept.append(text)
    return kept, problems


def _until_closed(text: str, rest: Sequence[str]) -> int:
    """Return how many of the following arguments close the brackets that ``text`` opens; 0 if none is open."""
    if "=" not in text or not _open(text):
        return 0
    for count in range(1, len(rest) + 1):
        if KEY.match(rest[count - 1]) and "=" in rest[count - 1]:
            return 0
        if not _open(" ".join([text, *rest[:count]])):
            return count
    return 0


def _open(text: str) -> str:
    """Return what would close the brackets and quotes that are open; "" where all are closed."""
    stack: list[str] = []
    for sign in text:
        if stack and stack[-1] in "'\"":
            if sign == stack[-1]:
                stack.pop()
        elif sign in "'\"":
            stack.append(sign)
        elif sign in CLOSES:
            stack.append(CLOSES[sign])
        elif stack and sign == stack[-1]:
            stack.pop()
    return "".join(reversed(stack))


def unreadable(text: str, parses: Parses) -> Problem:
    """Return the problem of an override that cannot be parsed, with a remedy that can."""
    found, proposals = _reason(text)
    for proposal in proposals:
        if proposal and parses(proposal):
            return Problem(text, found, shell(proposal))
    return Problem(text, found, "write KEY=VALUE or GROUP=OPTION; --help lists them")


def _reason(text: str) -> tuple[str, list[str]]:
    """Return what is wrong, and what may be meant."""
    key, equals, value = text.partition("=")
    if not equals:
        for sign in (":", " "):
            name, _, after = text.partition(sign)
            if KEY.fullmatch(name) and after.strip():
                return f"there is {sign!r} in place of =", [f"{name}={after.strip()}"]
        called = re.match(r"(\w+)\(.*\)", text)
        if called and called[1] in FUNCTIONS:
            return f"{called[1]}(...) is a value without a key", [
                f"{'algorithm' if called[1] == 'glob' else 'seed'}={text}"
            ]
        return "there is no =", []
    if key.startswith("/"):
        return "groups do not begin with /", [text.lstrip("/")]
    if not KEY.fullmatch(key.lstrip("+~")):
        return (f"{key!r} is not a key" if key else "the key before the = is missing"), []
    quoted = f'{key}="{value}"' if "'" in value else f"{key}='{value}'"
    if "${" in value and _open(value):
        return "an interpolation is not closed", [f"{key}={value}}}" if value[-2:] != "${" else ""]
    if closing := _open(value):
        what = "quote" if closing[0] in "'\"" else "bracket"
        fixed = value.replace("'", "").replace('"', "") if what == "quote" else value + closing
        return f"a {what} is not closed: {closing[0]} is missing", [f"{key}={fixed}", quoted]
    if value.count("}") > value.count("{") or value.count("]") > value.count("["):
        return "a bracket is closed that is not open", [f"{key}={value.rstrip('})]')}", quoted]
    if value.strip().startswith(",") or value.strip().endswith(","):
        return "a value is missing beside a comma", [f"{key}={value.strip().strip(',')}"]
    called = re.match(r"\s*(\w+)\((.*)\)\s*$", value)
    if called:
        name, inside = called.groups()
        if name not in FUNCTIONS:
            near = re.findall(r"mean '(\w+)'", did_you_mean(name, SWEEPS))
            proposals = [f"{key}={part}({inside})" for part in near]
            return f"there is no function {name}(...); text with brackets needs quotes", proposals
        if not inside.strip():
            return f"{name}() has no value", []
        if name == "tag":
            inside = inside.partition(",")[2].strip()
        return f"{name}(...) cannot be read with these arguments", [f"{key}={inside}"]
    return "the value cannot be read without quotes", [quoted]


def flag_as_override(flag: str, following: str | None) -> tuple[str, str, bool]:
    """Return a flag as it was typed, the override that may be meant, and whether the next argument is part of it.

    ``--seed 1`` -> (``--seed 1``, ``seed=1``, True).
    """
    name, equals, value = flag.lstrip("-").partition("=")
    name = name.replace("-", "_")
    if equals or following is None or following.startswith("-") or "=" in following:
        return flag, f"{name}={value if equals else 'true'}", False
    return f"{flag} {following}", f"{name}={following}", True
