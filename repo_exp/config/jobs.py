"""The jobs of a command, composed and checked one by one: their problems, each once, with the file it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from omegaconf import DictConfig

from repo_exp.config import sweeps
from repo_exp.config.check import Check, resolved, type_problems, validate
from repo_exp.config.compose import Composer, as_if_running
from repo_exp.config.composition import composition_problem
from repo_exp.config.containers import as_written
from repo_exp.config.overrides import HYDRA_ERRORS, walk
from repo_exp.config.schema import Config
from repo_exp.config.secrecy import secrets_in
from repo_exp.config.sweeps import Dimension
from repo_exp.errors import Problem


@dataclass(frozen=True)
class Job:
    """One configuration.

    Attributes:
        problems: all that is wrong with it.
        config: typed; None if there are problems.
        cfg: as Hydra composed it; None if it could not be composed.
    """

    problems: list[Problem]
    config: Config | None = None
    cfg: DictConfig | None = None


def checked_jobs(
    dimensions: Sequence[Dimension],
    composer: Composer,
    checks: Sequence[Check],
    *,
    composed: Mapping[tuple[str, ...], DictConfig],
) -> tuple[list[Job], list[Problem]]:
    """Return the combinations that were checked, and their problems, each once.

    A problem that only some of them have says what those have in common.

    Args:
        dimensions: the keys with the values that the jobs get.
        composer: composes a job.
        checks: those of other layers.
        composed: lines -> composition, of those that were composed before.
    """
    combinations = sweeps.combinations(dimensions)
    jobs = [_job(lines, composer, checks, composed.get(lines)) for lines in combinations]
    found: dict[Problem, list[tuple[str, ...]]] = {}
    for lines, job in zip(combinations, jobs, strict=True):
        for problem in dict.fromkeys(job.problems):
            found.setdefault(problem, []).append(lines)
    swept = {line for each in dimensions if each.swept for line in each.lines}
    problems = [sweeps.with_case(problem, cases, len(combinations), swept) for problem, cases in found.items()]
    in_jobs = {line for lines in combinations for line in lines}
    cfg = next((job.cfg for job in jobs if job.cfg is not None), None)
    return jobs, problems + _of_values_alone([line for line in swept if line not in in_jobs], cfg, composer)


def _job(lines: Sequence[str], composer: Composer, checks: Sequence[Check], cfg: DictConfig | None) -> Job:
    try:
        cfg = composer.compose(lines) if cfg is None else cfg
    except HYDRA_ERRORS as error:
        return Job([composition_problem(error, composer)])
    with as_if_running(cfg):
        config, problems = validate(cfg, checks=checks)
    hydra = as_written(cfg.hydra)
    hydra.pop("overrides", None)  # these have been checked
    problems = [*secrets_in(hydra, ("hydra",)), *problems]
    return Job([_with_file(problem, lines, composer) for problem in problems], config, cfg)


def _of_values_alone(lines: Sequence[str], cfg: DictConfig | None, composer: Composer) -> list[Problem]:
    """Return the problems of values that were in no combination. Only their types are checked, put into ``cfg``."""
    problems: list[Problem] = []
    if cfg is None or not lines:
        return problems
    with as_if_running(cfg):
        values = resolved(cfg)[0]
    for line in sweeps.evenly(sorted(lines), sweeps.MOST_VALUES_ALONE):
        override = composer.parse(line)
        found = type_problems(values, override.key_or_group.split("."), override.value())
        problems += [replace(each, found=f"{each.found} (when {line})") for each in found]
    return problems


def _with_file(problem: Problem, lines: Sequence[str], composer: Composer) -> Problem:
    """Return the problem with the file that its value comes from; as it is where the command line sets the value."""
    keys = [line.lstrip("+~").partition("=")[0] for line in lines]
    values = [key for key in keys if not composer.options(key)]
    if any(f"{problem.where}.".startswith(f"{key}.") or key.startswith(f"{problem.where}.") for key in values):
        return problem
    for file, package, content in composer.sources(lines):
        inside = problem.where.removeprefix(f"{package}.") if package else problem.where
        if package and inside == problem.where:
            continue
        if walk(inside.split("."), content)[0]:
            return replace(problem, where=f"{problem.where} (conf/{file})")
    return problem
