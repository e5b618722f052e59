"""Seeds derived from names: no generator is passed on, so every draw can be repeated on its own."""

from __future__ import annotations

import hashlib


def derived_seed(*parts: object) -> int:
    """Return a seed that depends on every part, the same in every process. A renamed part is another seed."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1
