"""Formats numbers for the report."""

from __future__ import annotations

import math


def number(value: float | None, digits: int = 2) -> str:
    """1.234 -> '1.23'; a true minus sign; a dash for what is missing."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """0.5 -> '+0.50'."""
    text = number(value, digits)
    return text if text.startswith(("−", "–")) or value is None or float(text) == 0 else f"+{text}"


def points(value: float | None) -> str:
    """Points: whole numbers stay whole. 20.0 -> '+20'."""
    whole = value is not None and math.isfinite(value) and float(value).is_integer()
    return signed(value, 0 if whole else 1)


def duration(seconds: float | None) -> str:
    """75 -> '1 min 15 s'."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def percent(share: float | None) -> str:
    """0.1234 -> '12 %'; one decimal below 10 %, so that 0.4 % does not read as none."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share >= 0.1 or share == 0 else f"{100 * share:.1f} %"


def p_value(p: float | None) -> str:
    """Return 'p = 0.012', or 'p < 0.001' where more digits would be pretence."""
    if p is None:
        return "p not defined"
    if p < 0.001:
        return "p < 0.001"
    return f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
