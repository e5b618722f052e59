"""The section ``data``, typed by the domain that generates the corpus, or by the reader of your own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from repo_exp.config.wording import problems_from
from repo_exp.domains import registry
from repo_exp.domains.interface import DataOptions, DomainOptions
from repo_exp.errors import ConfigError, Problem

Path = tuple[str | int, ...]


def typed_data(container: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Path, Problem]]:
    """Return a configuration with the options of its domain in place of ``data``, and their problems by path.

    Anything but generated data, and the data of an unknown domain, are left to the schema and to the checks.
    """
    section, domain = container.get("data"), container.get("domain")
    name = domain.get("name") if isinstance(domain, Mapping) else None
    if not isinstance(section, Mapping) or section.get("kind") != "generated":
        return dict(container), {}
    options: DataOptions = DomainOptions(kind="generated")  # of a domain that is not known
    problems: dict[Path, Problem] = {}
    if name in registry.names():
        try:
            options = registry.find(str(name)).Options.model_validate(dict(section))
        except ConfigError as error:
            problems = {("domain", "name"): error.problems[0]}
        except ValidationError as error:
            problems = _problems(str(name), section, error)
    return {**container, "data": options}, problems


def _problems(domain: str, section: Mapping[str, Any], error: ValidationError) -> dict[Path, Problem]:
    """Return what is wrong with the section, in terms of the domain's own keys."""
    keys = [key for key in registry.find(domain).Options.model_fields if key != "kind"]
    foreign = [key for key in section if key not in (*keys, "kind")]
    if len(foreign) > 1 and not set(keys) & set(section):
        found = f"these are the keys of another domain: {', '.join(map(str, foreign))}"
        return {("data",): Problem("data", found, f"the keys of {domain}: {', '.join(keys) or 'none'}; data={domain}")}
    located = [{**each, "loc": ("data", *each["loc"])} for each in error.errors(include_url=False)]
    return problems_from(located, {"data": {**dict.fromkeys(keys), **section}})
