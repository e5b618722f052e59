"""Find a kind by its file name, and check the options of a rule against its signature."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from repo_exp.errors import did_you_mean
from repo_exp.rewards.rules import kinds


@dataclass(frozen=True, slots=True)
class Kind:
    """A rule kind: its function, its options, and the first line of its docstring."""

    name: str
    idea: str
    check: Callable[..., bool | None]
    parameters: Mapping[str, inspect.Parameter]
    faults: Callable[..., Iterable[tuple[str, str]]] | None

    def option_problems(self, options: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Return (option, what was found, what would work) for all that is wrong with ``options``."""
        found = [
            (str(name), f"'{self.name}' has no option '{name}'", did_you_mean(str(name), self.parameters))
            for name in options
            if name not in self.parameters
        ]
        for name, parameter in self.parameters.items():
            if name not in options:
                if parameter.default is parameter.empty:
                    found.append((name, f"'{self.name}' needs the option '{name}'", f"{name}: {_type(parameter)}"))
                continue
            try:
                TypeAdapter(parameter.annotation).validate_python(options[name], strict=True)
            except ValidationError as error:
                wrong = "; ".join(_readable(detail) for detail in error.errors(include_url=False)[:3])
                found.append((name, f"{name}: {wrong}", f"expected {_type(parameter)}"))
        if not found and self.faults is not None:
            try:
                found = [(name, f"{name}: {wrong}", "") for name, wrong in self.faults(**options)]
            except Exception as error:  # a kind that cannot check itself is a problem, not a crash
                found = [("", f"'{self.name}' could not check its options: {type(error).__name__}: {error}", "")]
        return found


def kind_names() -> list[str]:
    """Return the names of all kinds: the files in ``kinds/``."""
    return sorted(module.name for module in pkgutil.iter_modules(kinds.__path__) if not module.name.startswith("_"))


def find_kind(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        LookupError: there is none, or its file is not a kind; the message says why.
    """
    if name not in kind_names():
        raise LookupError(f"there is no kind '{name}': {did_you_mean(name, kind_names())}")
    try:
        module = importlib.import_module(f"{kinds.__name__}.{name}")
        signature = inspect.signature(module.check, eval_str=True)
    except Exception as error:  # somebody's own file: say what is wrong with it
        raise LookupError(f"kinds/{name}.py cannot be used: {type(error).__name__}: {error}") from error
    parameters = {
        key: parameter for key, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY
    }
    idea = (module.__doc__ or "").strip().split("\n")[0]
    return Kind(name, idea, module.check, parameters, getattr(module, "faults", None))


def _type(parameter: inspect.Parameter) -> str:
    return inspect.formatannotation(parameter.annotation)


def _readable(detail: Mapping[str, Any]) -> str:
    where = "".join(f"[{step!r}]" for step in detail["loc"] if not str(step).startswith(("list[", "dict[")))
    return f"{where} {detail['msg']}, found {str(detail['input'])[:60]!r}".strip()
