"""The rows of a file, each with its line number: JSON Lines, a JSON array, CSV, parquet, Arrow."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from repo_exp.domains.own_data.faults import EXAMPLE, Bad, unreadable
from repo_exp.domains.own_data.opening import MOST_BYTES, Source, opened
from repo_exp.domains.own_data.recognising import delimiter, wide

LONGEST_LINE = 64 * 2**20
LONGEST_NUMBER = 300  # digits that still fit a float
Row = tuple[str, str, Any]  # where it is, the number in its name, and the object or what is wrong (Bad)


def rows_of(source: Source) -> Iterator[Row]:
    """Yield the rows of a file in order.

    Raises:
        DataError: the file cannot be read on.
    """
    if source.kind in ("csv", "tsv"):
        yield from _csv(source)
    elif source.kind == "json":
        yield from _json(source)
    else:
        yield from _table(source)


# -- JSON ------------------------------------------------------------------------------------------------


def decode(text: str) -> Any:
    """Return what a JSON text means.

    Raises:
        Bad: it is not JSON, or says something that no two programs would read alike.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise Bad("nested too deeply", "flatten it") from None
    except ValueError as error:
        raise _no_json(text, error) from None


def _no_json(text: str, error: ValueError) -> Bad:
    start = text.lstrip()
    remedy = f"one object a line, such as {EXAMPLE}"
    if re.match(r"[\[{]+'", start):
        remedy = "strings stand in double quotes: this looks like a Python dict; write it with json.dumps"
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    place = f", column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
    return Bad(f"not JSON ({reason}{place})", remedy, kind="not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Bad(f"the key {twice!r} occurs twice", "give it once", kind="a key occurs twice")
    return found


def _no_number(word: str) -> float:
    raise Bad(f"{word} is not a number in JSON", "write null, or leave the key out")


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise Bad(f"a number of {len(digits):,} digits", "write it as text", kind="a number that is too long")
    return int(digits)


def _broken(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise Bad(f"{digits[:40]} is too large for a number", "write it as text", kind="a number that is too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, parse_int=_whole, parse_float=_broken)


def _json(source: Source) -> Iterator[Row]:
    """Yield the objects of JSON Lines, or else those of a document: an array, or objects one after the other."""
    with opened(source) as stream:
        lines = _lines(_utf8(source, stream), source)
        first: list[tuple[int, bytes]] = []
        for number, raw in lines:
            first.append((number, raw))
            if raw.strip():
                break
        if not first or not first[-1][1].strip():
            return
        if _is_line(first[-1][1]):
            number, raw = first[-1]
            yield from _not_a_wrapper(source, [(f"{source.shown}:{number}", str(number), _line(raw))])
            for number, raw in lines:
                if raw.strip():
                    yield f"{source.shown}:{number}", str(number), _line(raw)
            return
        rest = [*first, *lines]
    if not any(_is_line(raw) and raw[:1] == b"{" for _, raw in rest):
        found = _document(source, b"".join(raw for _, raw in rest))
        if found is not None:
            yield from found
            return
    for number, raw in rest:
        if raw.strip():
            yield f"{source.shown}:{number}", str(number), _line(raw)


def _is_line(raw: bytes) -> bool:
    """Is it an object by itself, sound or not?"""
    if not (raw.lstrip()[:1] == b"{" and raw.rstrip()[-1:] == b"}"):
        return False
    try:
        json.loads(raw)
    except (ValueError, RecursionError):
        return False
    return True


def _line(raw: bytes) -> Any:
    try:
        return decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Bad(f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8", kind="not UTF-8")
    except Bad as bad:
        return bad


def _document(source: Source, raw: bytes) -> list[Row] | None:
    """Return the objects of a JSON document; None where it is none, so that its lines can say what is wrong."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise unreadable(f"{source.shown}:{line}", "not UTF-8", "save the file as UTF-8") from None
    found: list[Row] = []
    line, place = 1, 0
    array = text.lstrip()[:1] == "["
    at = _after_space(text, 0) + array
    sure = array or source.path.name.lower().removesuffix(".gz").endswith(".json")
    while True:
        at = _after_space(text, at)
        if at == len(text) or (array and text[at] == "]"):
            break
        line, place = line + text.count("\n", place, at), at
        try:
            value, at = _DECODER.raw_decode(text, at)
        except Bad as bad:  # of this row alone: the next one begins where a lenient reader says that it ends
            value, (_, at) = bad, json.JSONDecoder(parse_int=str).raw_decode(text, at)
        except RecursionError:
            raise unreadable(f"{source.shown}:{line}", "nested too deeply", "flatten it") from None
        except ValueError as error:
            if not sure and not found:
                return None
            number = getattr(error, "lineno", line)
            wrong = _no_json(text[place : place + 10], error).found
            raise unreadable(f"{source.shown}:{number}", wrong, "a JSON array of objects, or one a line") from None
        found.append((f"{source.shown}:{line}, row {len(found) + 1}", str(len(found) + 1), value))
        at = _after_space(text, at)
        if array and text[at : at + 1] not in (",", "]"):
            line += text.count("\n", place, at)
            raise unreadable(f"{source.shown}:{line}", f"the array ends early, after row {len(found)}", "end it with ]")
        at += array and text[at] == ","
    if array and text[at + 1 :].strip():
        line += text.count("\n", place, at)
        raise unreadable(f"{source.shown}:{line}", "there is text after the array", "one array, or one object a line")
    return _not_a_wrapper(source, found)


_SPACE = re.compile(r"[ \t\r\n]*")


def _after_space(text: str, at: int) -> int:
    """Return where the space that begins at a place ends."""
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _not_a_wrapper(source: Source, found: list[Row]) -> list[Row]:
    """Refuse an object that holds the rows in one of its keys, or column by column."""
    if len(found) == 1 and isinstance(found[0][2], dict) and _is_column(found[0][2].get("chosen")):
        remedy = "one object a row: in pandas to_json(..., orient='records', lines=True)"
        raise unreadable(source.shown, "a JSON object that holds the data column by column", remedy)
    if len(found) == 1 and isinstance(found[0][2], dict) and not {"chosen", "rejected"} & found[0][2].keys():
        lists = [key for key, value in found[0][2].items() if isinstance(value, list) and value]
        holds = [key for key in lists if isinstance(found[0][2][key][0], dict) and "chosen" in found[0][2][key][0]]
        if holds:
            what = f"a JSON object that holds the rows in {', '.join(map(repr, holds))}"
            raise unreadable(source.shown, what, f"the array by itself: jq '.{holds[0]}'")
    return found


def _is_column(value: Any) -> bool:
    """Is it a column, a list of texts or an object with the numbers of rows as keys?"""
    texts = isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)
    return texts or (isinstance(value, dict) and bool(value) and all(key.isdecimal() for key in value))


def _lines(stream: BinaryIO, source: Source) -> Iterator[tuple[int, bytes]]:
    number = 0
    while raw := stream.readline(LONGEST_LINE + 1):
        number += 1
        if len(raw) > LONGEST_LINE:
            found = f"a line of more than {LONGEST_LINE // 2**20} MiB"
            raise unreadable(f"{source.shown}:{number}", found, "one object a line")
        yield number, raw


def _utf8(source: Source, stream: BinaryIO) -> BinaryIO:
    """Return the same text as UTF-8, without a byte order mark."""
    head = stream.peek(4)[:4]  # type: ignore[attr-defined]
    if encoding := wide(head):
        return io.BytesIO(_text(source, stream.read(MOST_BYTES), encoding).encode("utf-8"))
    if head.startswith(b"\xef\xbb\xbf"):
        stream.read(3)
    return stream


def _text(source: Source, raw: bytes, encoding: str) -> str:
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].decode(encoding, errors="ignore").count("\n") + 1
        raise unreadable(f"{source.shown}:{line}", f"not {encoding.upper()}", "save the file as UTF-8") from None


# -- CSV -------------------------------------------------------------------------------------------------


def _csv(source: Source) -> Iterator[Row]:
    """Yield the rows of a CSV file, with the columns as keys; an empty cell is a key that is not there."""
    with opened(source) as stream:
        text = _text(source, _utf8(source, stream).read(MOST_BYTES), "utf-8")
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter(text.partition("\n")[0], source.kind), strict=True
    )
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    number, header = 0, None
    try:
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield (
                    f"{source.shown}:{line}",
                    str(number + 1),
                    Bad(f"not CSV ({error})", "quotes in a cell are doubled"),
                )
                return
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _header(source, cells)
                continue
            number += 1
            yield f"{source.shown}:{line}", str(line), _cells(header, cells)
    finally:
        csv.field_size_limit(before)


def _header(source: Source, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise unreadable(f"{source.shown}:1", f"the column {twice[0]!r} occurs twice", "give each once")
    if not {"chosen", "rejected"} & {*names}:
        shown = ", ".join(names)[:80]
        raise unreadable(f"{source.shown}:1", f"the first line names the columns {shown!r}", "prompt,chosen,rejected")
    return names


def _cells(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        found = f"{len(cells)} cells, and the header has {len(header)}"
        return Bad(found, "quote cells that hold commas or line ends", kind="cells that the header does not have")
    return {name: value for name, value in zip(header, cells, strict=True) if value != ""}


# -- tables ----------------------------------------------------------------------------------------------


def _table(source: Source) -> Iterator[Row]:
    """Yield the rows of a parquet or an Arrow file."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        what = "parquet" if source.kind == "parquet" else "Arrow, as the library datasets saves it,"
        remedy = "pip install 'repo-exp[data]'; or write it as JSON Lines: dataset.to_json('pairs.jsonl')"
        raise unreadable(source.shown, f"this is {what} which needs the package pyarrow", remedy) from None
    number = 0
    with opened(source):  # says it plainly where it cannot be read
        pass
    try:
        if source.kind == "parquet":
            file = pa.parquet.ParquetFile(source.path)
            if sum(file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups)) > MOST_BYTES:
                raise unreadable(source.shown, "more than 4 GiB once it is unpacked", "the data in several files")
            batches = file.iter_batches()
        else:
            opening = pa.ipc.open_file if source.kind == "arrow" else pa.ipc.open_stream
            reader = opening(pa.memory_map(str(source.path)))
            batches = (
                (reader.get_batch(i) for i in range(reader.num_record_batches)) if source.kind == "arrow" else reader
            )
        for batch in batches:
            for row in batch.to_pylist():
                number += 1
                yield f"{source.shown}, row {number}", str(number), row
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        found = f"the {source.kind} file is damaged behind row {number} ({str(error).splitlines()[0][:120]})"
        raise unreadable(source.shown, found, "write it again") from None
