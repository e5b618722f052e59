"""Turns Hydra's composition errors into problems: the file, what is wrong with it, and what would work."""

from __future__ import annotations

import re

from hydra.errors import MissingConfigException
from yaml import MarkedYAMLError

from repo_exp.config.compose import Composer
from repo_exp.config.renamed import new_choice
from repo_exp.errors import Problem, did_you_mean


def composition_problem(error: Exception, composer: Composer) -> Problem:
    """Return the problem that Hydra's error describes."""
    text = [line.strip() for line in str(error).splitlines() if line.strip()]
    file = re.match(r"In '([^']+)': (.*)", text[0]) if text else None
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return Problem(f"{mark.name}:{mark.line + 1}", f"not valid YAML: {error.problem}", error.context or "")
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, option = error.missing_cfg_file.rpartition("/")
        where = ", ".join(composer.files_that_choose(group, option)) or f"{group}={option}"
        if new := new_choice(group, option):
            return Problem(where, f"the option {group}={option} was renamed", new)
        return Problem(where, f"the group '{group}' has no option '{option}'", did_you_mean(option, error.options))
    named = re.match(r"Could not (?:override|append|delete|find)\b.*?'([^']+)'", text[0]) if text else None
    if named:
        key = re.split(r"=", named[1])[0]
        remedy = "--cfg hydra lists Hydra's keys" if key.startswith("hydra") else "--cfg job lists the keys"
        return Problem(key, "there is no such key or group", remedy)
    cause = str(error.__cause__).splitlines()[0] if error.__cause__ else ""
    if file:
        return Problem(f"conf/{file[1]}.yaml", " ".join([file[2], *text[1:2]]), cause)
    return Problem("the configuration cannot be composed", " ".join(text[:2]) or repr(error), cause)
