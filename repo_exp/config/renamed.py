"""Keys, options and values that have another name now. A command that uses the old one is refused with the new one.

An entry is looked up only where the old name does not exist any more.
"""

from __future__ import annotations

from collections.abc import Iterable

# old -> new. KEY is a key or a whole section, GROUP=OPTION an option, KEY=VALUE a value of a key.
# An entry is made with the renaming itself: until then the new name is no way out.
RENAMED: dict[str, str] = {}


def new_key(path: Iterable[str | int]) -> str | None:
    """Return the present name of a key, or of a key in a section that was renamed; None where neither was."""
    parts = [str(part) for part in path]
    for depth in range(len(parts), 0, -1):
        if new := RENAMED.get(".".join(parts[:depth])):
            return ".".join([new, *parts[depth:]])
    return None


def new_choice(key: str, value: object) -> str | None:
    """Return ``KEY=VALUE`` or ``GROUP=OPTION`` as it is written now; None where it was not renamed."""
    return RENAMED.get(f"{key}={value}")
