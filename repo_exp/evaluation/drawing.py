"""Draws figures: one light style, one colour per source, and SVG without dates or addresses.

The canvas is transparent and its ink is the page's own text colour, so a figure fits a light page, a dark one and
paper. Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
PURPLE, SKY = "#cc79a7", "#56b4e9"
INK = "#0a0b0c"
"""Stands for the text colour of the page; becomes ``currentColor`` in the SVG."""

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "text.color": INK,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "axes.axisbelow": True,
}

Series = tuple[list[float], list[float]]


class Drawing:
    """A row of panels that becomes one SVG. ``with Drawing("rewards", 2) as drawing: drawing.axes[0].plot(...)``"""

    def __init__(self, name: str, panels: int = 1, *, columns: int = 3, width: float = 9.6, height: float = 2.9):
        self.name = name
        self._rows = math.ceil(panels / columns)
        self._columns = min(panels, columns)
        self._panels = panels
        self._size = (width, height * self._rows)
        # rc_context puts back what it changed: a caller's own matplotlib is as it was.
        rc: dict[Any, Any] = {**STYLE, "svg.hashsalt": name}
        self._style = matplotlib.rc_context(rc)

    def __enter__(self) -> Drawing:
        self._style.__enter__()
        self.figure = Figure(figsize=self._size, layout="constrained")
        grid = self.figure.subplots(self._rows, self._columns, squeeze=False).ravel()
        for unused in grid[self._panels :]:
            unused.set_axis_off()
        self.axes: list[Axes] = list(grid[: self._panels])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._style.__exit__(kind, error, traceback)

    def svg(self, label: str) -> str:
        """Return the drawing as an ``<svg>`` element with ``label`` as what a screen reader says."""
        buffer = io.StringIO()
        self.figure.patch.set_alpha(0)
        for axes in self.figure.axes:
            axes.patch.set_alpha(0)
        FigureCanvasSVG(self.figure).print_svg(
            buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
        return _inline(buffer.getvalue(), self.name, label)


def _inline(svg: str, name: str, label: str) -> str:
    """Cut out what belongs to a file of its own: prolog, doctype, style sheet, fixed size, foreign ink."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style\b.*?</style>", "", svg, flags=re.S)  # a rule for * would reach the whole page
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = svg.replace(INK, "currentColor")
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)  # ids are unique in a page, not in a figure
    svg = re.sub(r'^<svg([^>]*?) (?:width|height)="[\d.]+pt"', r"<svg\1", svg)
    svg = re.sub(r'^<svg([^>]*?) (?:width|height)="[\d.]+pt"', r"<svg\1", svg)
    safe = html.escape(label, quote=True)
    return svg.replace("<svg", f'<svg role="img" aria-label="{safe}"', 1).strip()


def series(metrics: Iterable[Mapping[str, Any]], stage: str, name: str) -> Series:
    """Return steps and values of one metric, by step; what was logged twice (a resumed run) counts once, the last."""
    points: dict[float, float] = {}
    for record in metrics:
        value = record["metrics"].get(name)
        if record["stage"] == stage and isinstance(value, int | float) and math.isfinite(value):
            points[record["step"]] = float(value)
    steps = sorted(points)
    return steps, [points[step] for step in steps]


def smooth(values: Sequence[float]) -> list[float]:
    """Return the centred moving average over about a sixth of the curve; the window shrinks at the ends."""
    half = len(values) // 12
    window = [values[max(0, i - half) : i + half + 1] for i in range(len(values))]
    return [sum(part) / len(part) for part in window]


def curve(axes: Axes, points: Series, label: str, colour: str, *, smoothed: bool = True) -> bool:
    """Draw raw points and their moving average; say whether there was anything to draw."""
    steps, values = points
    if not steps:
        return False
    if smoothed and len(steps) >= 12:
        axes.plot(steps, values, ".", color=colour, markersize=3.5, alpha=0.35, markeredgewidth=0)
        axes.plot(steps, smooth(values), color=colour, label=label)
    else:
        axes.plot(steps, values, ".-", color=colour, label=label, markersize=5)
    return True


def clip_label(text: str, limit: int = 34) -> str:
    """Return one line that fits beside an axis; names come from the user's own files."""
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
