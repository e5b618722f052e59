"""Recognises a file by its first bytes: a format that is read, or another one, which the error names."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Literal

from repo_exp.domains.own_data.faults import EXAMPLE, unreadable

Kind = Literal["json", "csv", "tsv", "parquet", "arrow", "arrow stream"]

_TABLES: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow stream"),
)
# the first bytes of what people have and what is not read -> what it is, and what would work
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip inside gzip", "unpack it once"),
    (
        b"PK\x03\x04",
        "a zip archive (xlsx, docx and npz are such)",
        "unpack it; from a spreadsheet save as CSV in UTF-8",
    ),
    (b"PK\x05\x06", "an empty zip archive", "unpack it"),
    (b"BZh", "a bzip2 file", "unpack it, or pack it as .gz"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it, or pack it as .gz"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it, or pack it as .gz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"%PDF", "a PDF file", f"lines such as {EXAMPLE}"),
    (b"SQLite format 3\x00", "an SQLite database", "export the table as CSV or JSON Lines"),
    (b"\x89PNG", "a PNG image", f"lines such as {EXAMPLE}"),
    (b"\xff\xd8\xff", "a JPEG image", f"lines such as {EXAMPLE}"),
    (b"GIF8", "a GIF image", f"lines such as {EXAMPLE}"),
    (b"\x93NUMPY", "a NumPy array", "write it as JSON Lines"),
    (b"\x80\x02", "a Python pickle", "pickles are not opened, as they can run code; write JSON Lines"),
    (b"\x80\x03", "a Python pickle", "pickles are not opened, as they can run code; write JSON Lines"),
    (b"\x80\x04", "a Python pickle", "pickles are not opened, as they can run code; write JSON Lines"),
    (b"\x80\x05", "a Python pickle", "pickles are not opened, as they can run code; write JSON Lines"),
    (b"\x89HDF", "an HDF5 file", "write it as parquet or JSON Lines"),
    (b"Obj\x01", "an Avro file", "write it as parquet or JSON Lines"),
    (b"ORC", "an ORC file", "write it as parquet"),
    (b"FEA1", "a Feather file of version 1", "write it as parquet"),
    (b"GGUF", "the weights of a model (GGUF)", "model.gguf is where they belong"),
    (b"\x7fELF", "a program", f"lines such as {EXAMPLE}"),
    (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched", "git lfs pull"),
)
_TEXTS: tuple[tuple[str, str, str], ...] = (
    (r"<!doctype|<html", "a web page", "the file itself may be behind the page's download link"),
    (r"<\?xml|<[a-z]+[ >]", "XML", f"lines such as {EXAMPLE}"),
    (r"#!", "a script", f"lines such as {EXAMPLE}"),
    (r"(---\s*\n)?(- )?(prompt|chosen|rejected): ", "YAML", f"lines such as {EXAMPLE}"),
)


def kind_of(head: bytes, path: Path, *, suffix: str, packed: bool) -> Kind:
    """Return what a file holds.

    Args:
        head: its first bytes, unpacked.
        suffix: the end of its name without ``.gz``, in small letters. It decides only what the bytes leave open.
        packed: was it gzip?

    Raises:
        DataError: it is nothing that is read; says what it is.
    """
    for magic, kind in _TABLES:
        if head.startswith(magic):
            if packed:
                raise unreadable(path, f"{kind} inside gzip", "unpack it: gunzip")
            return kind
    for magic, what, remedy in _OTHERS:
        if head.startswith(magic):
            raise unreadable(path, f"this is {what}", remedy)
    if head[257:262] == b"ustar":
        raise unreadable(path, "this is a tar archive", "unpack it, and give the folder")
    if head[8:10] == b'{"' and head[:8].count(0) >= 4:
        raise unreadable(path, "this is the weights of a model (safetensors)", "model.folder is where they belong")
    if suffix in (".parquet", ".arrow"):
        raise unreadable(path, f"the name says {suffix[1:]}, but the content has another format", "write it again")
    return _text(head, path, suffix)


def _text(head: bytes, path: Path, suffix: str) -> Kind:
    """Return what a text is."""
    text = _decoded(head, path)
    if suffix == ".csv":
        return "csv"
    if suffix == ".tsv":
        return "tsv"
    start = text.lstrip()
    begins = [line.lstrip()[:1] for line in text.splitlines() if line.strip()]
    if not begins:
        return "json"  # nothing so far but white space: the reader says so
    if start[0] == "[" or "{" in begins:
        return "json"
    header = {name.strip().strip('"') for name in re.split(r"[,\t;]", start.splitlines()[0])}
    if {"chosen", "rejected"} <= header:
        return "tsv" if "\t" in start.splitlines()[0] else "csv"
    for pattern, what, remedy in _TEXTS:
        if re.match(pattern, start, re.IGNORECASE):
            raise unreadable(path, f"this is {what}", remedy)
    shown = start.splitlines()[0][:40]
    raise unreadable(path, f"it begins with {shown!r}, which is neither JSON nor the header of a CSV", EXAMPLE)


def _decoded(head: bytes, path: Path) -> str:
    if encoding := wide(head):
        return head.decode(encoding, errors="replace")
    nulls = head.count(0)
    if nulls > len(head) // 4 and (not any(head[1::2]) or not any(head[0::2])):
        raise unreadable(path, "this is UTF-16 without a byte order mark", "save the file as UTF-8")
    control = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
    if control > len(head) // 20:
        raise unreadable(path, "this is binary data in an unknown format", f"lines such as {EXAMPLE}")
    return head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")


def wide(head: bytes) -> str:
    """Return the encoding that a byte order mark announces, if it is not UTF-8; empty where there is none."""
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
                           (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):  # fmt: skip
        if head.startswith(mark):
            return encoding
    return ""


def delimiter(header: str, kind: Kind) -> str:
    """Return what stands between the columns: a comma, a semicolon where the header has only these, or a tab."""
    if kind == "tsv":
        return "\t"
    plain = next(csv.reader(io.StringIO(header), delimiter=","), [])
    return ";" if len(plain) < 2 and ";" in header else "\t" if len(plain) < 2 and "\t" in header else ","
