"""The options of SFT."""

from __future__ import annotations

from typing import Literal

from repo_exp.algorithms.options.base import MethodOptions


class Options(MethodOptions):
    """Nothing to set: the supervised stage has its own section, ``sft``."""

    kind: Literal["sft"]
