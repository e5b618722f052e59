"""Small mistakes, made on purpose: a source in, every copy of it out in which a single thing is wrong."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {
    ast.Add: ["-"], ast.Sub: ["+"], ast.Mult: ["/"], ast.Div: ["*"], ast.FloorDiv: ["/"], ast.Mod: ["*"],
    ast.Pow: ["*"], ast.BitAnd: ["|"], ast.BitOr: ["&"], ast.Lt: ["<=", ">"], ast.LtE: ["<", ">="],
    ast.Gt: [">=", "<"], ast.GtE: [">", "<="], ast.Eq: ["!="], ast.NotEq: ["=="], ast.And: ["or"], ast.Or: ["and"],
}  # fmt: skip
SIGNS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitAnd: "&", ast.BitOr: "|", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==",
    ast.NotEq: "!=", ast.And: "and", ast.Or: "or",
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "amin": "amax", "amax": "amin",
         "any": "all", "all": "any", "argmin": "argmax", "argmax": "argmin", "sum": "mean", "mean": "sum"}  # fmt: skip
SYMMETRIC = {"same_shape", "max", "min", "maximum", "minimum"}  # whose arguments have no order


class Mutant(NamedTuple):
    """A source with one change.

    Attributes:
        function: where it is: the outermost function, with its class; "" outside of any.
        line, becomes: the lines that differ, before and after, on one line each.
        source: the whole of it.
    """

    function: str
    line: str
    becomes: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield the mutants of a source that can be compiled, in the order of its lines, each once.

    Left as they are: docstrings and other texts, annotations, imports, and what an error says.
    """
    source = source.rstrip("\n") + "\n"
    whole, tree = source.encode(), ast.parse(source)
    seen = {source}
    for start, end, new, function in sorted(_changes(whole, tree)):
        changed = (whole[:start] + new + whole[end:]).decode()
        if changed not in seen and _compiles(changed):
            seen.add(changed)
            first, last = whole.rfind(b"\n", 0, start) + 1, whole.find(b"\n", end)
            before, after = whole[first:last], whole[first:start] + new + whole[end:last]
            yield Mutant(function, _flat(before), _flat(after), changed)


def _changes(whole: bytes, tree: ast.Module) -> Iterator[tuple[int, int, bytes, str]]:
    """Yield (start, end, what takes its place, function) in bytes of the source."""
    starts = [0] + [match.end() for match in re.finditer(b"\n", whole)]

    def begin(node: ast.AST) -> int:
        return starts[node.lineno - 1] + node.col_offset

    def end(node: ast.AST) -> int:
        return starts[node.end_lineno - 1] + node.end_col_offset

    def between(left: ast.AST, right: ast.AST, op: ast.AST) -> Iterator[tuple[int, int, bytes]]:
        sign = SIGNS.get(type(op), "").encode()
        at = whole.find(sign, end(left), begin(right)) if sign else -1
        if at >= 0:
            yield from ((at, at + len(sign), new.encode()) for new in OPERATORS[type(op)])

    def here(node: ast.AST) -> Iterator[tuple[int, int, bytes]]:
        match node:
            case ast.BinOp():
                yield from between(node.left, node.right, node.op)
            case ast.BoolOp():
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from between(left, right, node.op)
            case ast.Compare():
                for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                    yield from between(left, right, op)
            case ast.AugAssign():
                yield from between(node.target, node.value, node.op)
            case ast.UnaryOp():  # a sign, a not, a ~: left out
                yield begin(node), begin(node.operand), b""
            case ast.Constant(value=bool()):
                yield begin(node), end(node), str(not node.value).encode()
            case ast.Constant(value=int()):
                yield begin(node), end(node), str(node.value + 1).encode()
                yield begin(node), end(node), str(node.value - 1).encode()
            case ast.Constant(value=float()):
                yield begin(node), end(node), repr(2 * node.value or 1.0).encode()
            case ast.Constant(value=str()) if node.value in NAMES:
                yield begin(node), end(node), repr(NAMES[node.value]).encode()
            case ast.Name() if node.id in NAMES:
                yield begin(node), end(node), NAMES[node.id].encode()
            case ast.Attribute() if node.attr in NAMES:
                yield end(node) - len(node.attr), end(node), NAMES[node.attr].encode()
            case ast.keyword() if node.arg in NAMES:
                yield begin(node), begin(node) + len(node.arg), NAMES[node.arg].encode()
            case ast.Call() if _last_name(node.func) not in SYMMETRIC:
                for left, right in zip(node.args, node.args[1:], strict=False):
                    first, gap = whole[begin(left) : end(left)], whole[end(left) : begin(right)]
                    yield begin(left), end(right), whole[begin(right) : end(right)] + gap + first
            case ast.If() | ast.IfExp() | ast.While() if not isinstance(node.test, ast.Compare | ast.UnaryOp):
                yield begin(node.test), end(node.test), b"not (" + whole[begin(node.test) : end(node.test)] + b")"

    def walk(node: ast.AST, function: str, inside: bool) -> Iterator[tuple[int, int, bytes, str]]:
        if isinstance(node, ast.Raise | ast.Import | ast.ImportFrom | ast.JoinedStr) or _checks_types(node):
            return
        yield from ((*change, function) for change in here(node))
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.FunctionDef | ast.ClassDef) and not inside:
                    path = f"{function}.{child.name}".lstrip(".")
                    yield from walk(child, path, isinstance(child, ast.FunctionDef))
                elif isinstance(child, ast.AST):
                    yield from walk(child, function, inside)

    yield from walk(tree, "", False)


def _last_name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _checks_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def _flat(text: bytes) -> str:
    return " ".join(text.decode().split())
