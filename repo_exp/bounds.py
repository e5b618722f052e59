"""Limits for a YAML file: its bytes, its depth, and its values with aliases expanded.

A few lines of nested aliases can expand to more values than any machine holds.
"""

from __future__ import annotations

from pathlib import Path

import yaml

MOST_BYTES = 2**20
MOST_NODES = 20_000  # with aliases expanded
DEEPEST = 40


def too_large(path: Path) -> str:
    """Return what is wrong with the size of a file; "" if it is within the limit."""
    return f"has more than {MOST_BYTES:,} bytes" if path.stat().st_size > MOST_BYTES else ""


def unreasonable(path: Path) -> str:
    """Return which limit a YAML file exceeds; "" if none, or if it is not YAML or cannot be read."""
    try:
        if wrong := too_large(path):
            return wrong
        root = yaml.SafeLoader(path.read_text(encoding="utf-8-sig")).get_single_node()
    except RecursionError:
        return f"is nested more than {DEEPEST} deep"
    except (OSError, ValueError, yaml.YAMLError):
        return ""
    return beyond_bounds(root) if root is not None else ""


def beyond_bounds(root: yaml.Node) -> str:
    """Return which limit a document exceeds; "" if none.

    The size counts every alias as often as it is used, and is computed without expanding them.
    """
    sizes: dict[int, int | None] = {}
    open_nodes: list[tuple[yaml.Node, int, bool]] = [(root, 1, False)]
    while open_nodes:
        node, depth, done = open_nodes.pop()
        inner = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = inner if isinstance(node, yaml.CollectionNode) else []
        if done:
            sizes[id(node)] = size = 1 + sum(sizes[id(each)] or 0 for each in inner)
            if size > MOST_NODES:
                return f"has more than {MOST_NODES:,} values, with its aliases (*name) expanded"
            continue
        if sizes.get(id(node), 0) is None:
            return "has an alias (*name) of a value that contains it"
        if id(node) in sizes:
            continue
        if depth > DEEPEST:
            return f"is nested more than {DEEPEST} deep"
        sizes[id(node)] = None
        open_nodes.append((node, depth, True))
        open_nodes += [(each, depth + 1, False) for each in inner]
    return ""
