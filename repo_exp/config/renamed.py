"""Keys, options and values that were renamed. A command with an old name is refused with the new name.

An entry is used only where the old name does not exist any more.
"""

from __future__ import annotations

from collections.abc import Iterable

# old -> new. KEY is a key or a whole section, GROUP=OPTION an option, KEY=VALUE a value of a key.
# An entry is added together with the renaming: before that the new name does not exist.
RENAMED: dict[str, str] = {}


def new_key(path: Iterable[str | int]) -> str | None:
    """Return the present name of a key, or of a key in a section that was renamed; None if neither was."""
    parts = [str(part) for part in path]
    for depth in range(len(parts), 0, -1):
        if new := RENAMED.get(".".join(parts[:depth])):
            return ".".join([new, *parts[depth:]])
    return None


def new_choice(key: str, value: object) -> str | None:
    """Return ``KEY=VALUE`` or ``GROUP=OPTION`` as it is written now; None if it was not renamed."""
    return RENAMED.get(f"{key}={value}")
