"""The section ``data``, typed by the domain that generates the corpus, or by the reader of your own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from repo_exp.config.wording import problems_from
from repo_exp.domains import registry
from repo_exp.domains.interface import DomainOptions
from repo_exp.errors import Problem

Path = tuple[str | int, ...]


def typed_data(container: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Path, Problem]]:
    """Return a configuration with the options of its domain in place of ``data``, and their problems by path.

    Anything but generated data, and the data of an unknown domain, are left to the schema and to the checks.
    """
    section, domain = container.get("data"), container.get("domain")
    name = domain.get("name") if isinstance(domain, Mapping) else None
    if not isinstance(section, Mapping) or section.get("kind") != "generated":
        return dict(container), {}
    options: DomainOptions = DomainOptions(kind="generated")
    problems: dict[Path, Problem] = {}
    if name in registry.names():
        try:
            options = registry.find(str(name)).Options.model_validate(dict(section))
        except ValidationError as error:
            located = [{**each, "loc": ("data", *each["loc"])} for each in error.errors(include_url=False)]
            problems = problems_from(located, container)
    return {**container, "data": options}, problems
