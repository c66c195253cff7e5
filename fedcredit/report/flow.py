"""The picture of who sent how much to whom: parties on a circle, one curved arrow per direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from fedcredit.report.figures import size

__all__ = ["draw_flow"]

_WIDTH: Final = 520.0
_HEIGHT: Final = 340.0
_RADIUS: Final = (185.0, 118.0)
_NODE: Final = 26.0
_WIDEST: Final = 14.0
_DRAWN: Final = 8  # more parties than that are a table
_LABELLED: Final = 10  # more arrows than that cross each other, and their amounts; the table has these


def draw_flow(sent: Mapping[tuple[str, str], float], colour: Callable[[str], int]) -> dict[str, Any] | None:
    """Coordinates for an SVG of `_WIDTH` x `_HEIGHT`: nodes, and arrows as paths with a width.

    Nothing is drawn for one party, or for so many that arrows would hide each other.
    """
    names = list(dict.fromkeys(name for pair in sent for name in pair))
    if not 2 <= len(names) <= _DRAWN or not any(sent.values()):
        return None
    places = {name: _place(k, len(names)) for k, name in enumerate(names)}
    heaviest = max(sent.values())
    # The root keeps a small flow visible beside one a thousand times as large.
    arrows = [
        {
            **_arrow(places[sender], places[receiver], max(1.0, _WIDEST * math.sqrt(amount / heaviest))),
            "colour": colour(sender),
            "bytes": size(amount),
            "labelled": len(sent) <= _LABELLED and amount >= 0.02 * heaviest,
        }
        for (sender, receiver), amount in sorted(sent.items(), key=lambda item: -item[1])
        if amount > 0 and sender != receiver
    ]
    nodes = [
        {
            "name": name if len(name) <= 18 else f"{name[:17]}…",
            "x": round(x, 1),
            "y": round(y, 1),
            "text_y": round(y + (_NODE + 15 if y >= _HEIGHT / 2 - 1 else -_NODE - 7), 1),
            "colour": colour(name),
        }
        for name, (x, y) in places.items()
    ]
    return {"width": _WIDTH, "height": _HEIGHT, "radius": _NODE, "nodes": nodes, "arrows": arrows}


def _place(k: int, n: int) -> tuple[float, float]:
    angle = math.pi + 2.0 * math.pi * k / n
    return _WIDTH / 2 + _RADIUS[0] * math.cos(angle), _HEIGHT / 2 + _RADIUS[1] * math.sin(angle)


def _arrow(start: tuple[float, float], end: tuple[float, float], width: float) -> dict[str, Any]:
    """A curve that bends to its right, so that the two directions of a pair lie side by side."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy)
    ux, uy = dx / length, dy / length
    head = 4.0 + 1.1 * width
    bend = 0.16 * length
    turn = 0.30  # radians by which an arrow leaves and enters off the straight line
    x0, y0 = start[0] + _NODE * _turned(ux, uy, turn)[0], start[1] + _NODE * _turned(ux, uy, turn)[1]
    bx, by = _turned(-ux, -uy, -turn)
    x2, y2 = end[0] + (_NODE + head) * bx, end[1] + (_NODE + head) * by
    tip = end[0] + (_NODE + 1.5) * bx, end[1] + (_NODE + 1.5) * by
    cx, cy = (x0 + x2) / 2 - uy * bend, (y0 + y2) / 2 + ux * bend
    half = 0.5 * head + 0.3 * width
    px, py = -by * half, bx * half
    return {
        "path": f"M{x0:.1f},{y0:.1f} Q{cx:.1f},{cy:.1f} {x2:.1f},{y2:.1f}",
        "head": f"{tip[0]:.1f},{tip[1]:.1f} {x2 + px:.1f},{y2 + py:.1f} {x2 - px:.1f},{y2 - py:.1f}",
        "width": round(width, 1),
        "label_x": round(0.25 * x0 + 0.5 * cx + 0.25 * x2, 1),
        "label_y": round(0.25 * y0 + 0.5 * cy + 0.25 * y2 + 4, 1),
    }


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)
