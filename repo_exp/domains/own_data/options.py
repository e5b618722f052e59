"""Where your own data are, and how they are split: the section ``data`` where its kind is ``jsonl``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from repo_exp.domains.interface import DataOptions


class JsonlOptions(DataOptions):
    """Your own preference pairs: JSON Lines, a JSON array, CSV, parquet or a folder of them (docs/data.md)."""

    kind: Literal["jsonl"]
    path: Annotated[str, Field(min_length=1)] = Field(
        description="the file or folder, relative to the current folder or absolute"
    )
    skip_bad_lines: bool = Field(description="skip lines that cannot be read, instead of stopping with a list of them")
    development: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="share held out for development")
    test: Annotated[float, Field(gt=0, lt=0.5)] = Field(description="share held out for the final evaluation")
