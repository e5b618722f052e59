"""A GGUF file as an ordinary folder of safetensors and tokenizer files: written once, by ``transformers``.

Left to itself ``transformers`` opens the file three times with ``gguf``'s reader, which makes several numpy views of
every entry of a vocabulary that nobody uses, and it builds the map of tensor names once for each of the model's
modules. Together these take ten times as long as the weights. Here long lists are skipped and the map is kept: the same
bytes, sooner.
"""

from __future__ import annotations

import contextlib
import functools
import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import torch
from gguf.constants import GGUFValueType
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

from repo_exp.gguf_header import read_header

LONG = 4096  # entries of a list from which it is the vocabulary's


def dequantise(package: Path, file: str, *, dtype: torch.dtype, into: Path) -> None:
    """Read a GGUF file and write it as a folder in the hub's format.

    Args:
        package: the folder of the file.
        file: its name.
        dtype: of the weights that are written.
        into: the new folder.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    with contextlib.redirect_stderr(io.StringIO()), _quick_reading(package / file):  # a progress bar without a switch
        model = AutoModelForCausalLM.from_pretrained(
            package, gguf_file=file, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(into)
        AutoTokenizer.from_pretrained(package, gguf_file=file).save_pretrained(into)


class _QuickReader(gguf.GGUFReader):
    """The library's reader, but of lists as long as a vocabulary only their place in the file is read."""

    def _get_field_parts(self, orig_offs: int, raw_type: int) -> tuple[int, list[Any], list[int], list[GGUFValueType]]:
        if raw_type != GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        data: Any = self.data
        inner, length = struct.unpack_from("<IQ", data, orig_offs)
        kind, end = GGUFValueType(inner), orig_offs + 12
        if length < LONG or kind == GGUFValueType.ARRAY:
            return super()._get_field_parts(orig_offs, raw_type)
        if kind == GGUFValueType.STRING:
            for _ in range(length):
                end += 8 + struct.unpack_from("<Q", data, end)[0]
        else:
            end += length * self.gguf_scalar_to_np[kind]().itemsize
        return end - orig_offs, [], [], [GGUFValueType.ARRAY, kind]


@contextlib.contextmanager
def _quick_reading(path: Path) -> Iterator[None]:
    """Let ``transformers`` read a file without its vocabulary, unless it needs that to count the embedding's rows."""
    if not any(key.endswith(".vocab_size") for key in read_header(path)):
        yield
        return
    reader, name_map = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = _QuickReader, functools.cache(name_map)  # type: ignore[misc]
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = reader, name_map  # type: ignore[misc]
