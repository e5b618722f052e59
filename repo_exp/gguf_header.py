"""The header of a GGUF file, read without its tensors and its vocabulary, which the ``gguf`` library needs seconds for.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

Value = str | int | float | bool | list["Value"]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _LIST = 8, 9
_LONGEST_TEXT = 2**20  # bytes; a broken file could name any number


def read_header(path: Path) -> dict[str, Value]:
    """Return the metadata of a GGUF file up to the tokenizer's; empty where it is not such a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it ends early, or is broken in another way.
    """
    found: dict[str, Value] = {}
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            return {}
        try:
            for _ in range(_counts(file)):
                key = _text(file)
                if key.startswith("tokenizer."):
                    break
                found[key] = _value(file, _number(file, "I"))
        except struct.error as error:
            raise ValueError(f"{path} ends early") from error
    return found


def _counts(file: BinaryIO) -> int:
    """Return how many metadata entries there are; version and tensor count are skipped."""
    _number(file, "I")
    _number(file, "Q")
    return int(_number(file, "Q"))


def _number(file: BinaryIO, code: str) -> int:
    return struct.unpack(f"<{code}", file.read(struct.calcsize(code)))[0]


def _text(file: BinaryIO) -> str:
    length = _number(file, "Q")
    if length > _LONGEST_TEXT:
        raise ValueError(f"a text of {length} bytes")
    return file.read(length).decode("utf-8", errors="replace")


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == _TEXT:
        return _text(file)
    if kind == _LIST:
        inner, length = _number(file, "I"), _number(file, "Q")
        return [_value(file, inner) for _ in range(length)]
    if kind not in _SCALARS:
        raise ValueError(f"a value of the unknown type {kind}")
    return _number(file, _SCALARS[kind])
