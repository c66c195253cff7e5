"""A picture of what joining is worth to each party: bars for alone, joint and pooled, a row of them for each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from markupsafe import escape

__all__ = ["SERIES", "draw_comparison"]

SERIES: Final = (("alone", "#9aa5b1"), ("joint", "#2f6fde"), ("pooled", "#14366f"))
"""What stands side by side, and in which colour."""

_LEFT, _RIGHT, _TOP, _GAP = 46.0, 16.0, 64.0, 62.0
_HEIGHT: Final = 144.0
_BAR: Final = 22.0
_FLOOR: Final = 0.5
"""An AUC of one half tells nothing, so bars begin there."""


def draw_comparison(title: str, models: Mapping[str, Sequence[tuple[str, Sequence[float | None]]]]) -> str:
    """An SVG of its own. For each model: (what stands below the group, AUC alone, joint, pooled) group by group.

    A figure that is None has no bar.
    """
    groups = max((len(of) for of in models.values()), default=0)
    each = _BAR * len(SERIES) + 34.0
    width = max(_LEFT + each * groups + _RIGHT, 420.0)
    height = _TOP + len(models) * (_HEIGHT + _GAP)
    figures = [value for of in models.values() for _, values in of for value in values if value is not None]
    top = min(1.0, max([*figures, _FLOOR + 0.1]) + 0.02)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" font-family="system-ui, sans-serif" font-size="12" fill="#1c2733">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<text x="{_LEFT:.0f}" y="24" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for k, (name, colour) in enumerate(SERIES):
        x = _LEFT + 90.0 * k
        parts.append(f'<rect x="{x:.0f}" y="34" width="11" height="11" fill="{colour}"/>')
        parts.append(f'<text x="{x + 16:.0f}" y="44">{name}</text>')
    for k, (model, of) in enumerate(models.items()):
        parts += _panel(model, of, _TOP + k * (_HEIGHT + _GAP), top, width, each)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    model: str, of: Sequence[tuple[str, Sequence[float | None]]], at: float, top: float, width: float, each: float
) -> list[str]:
    def height(value: float) -> float:
        return max(value - _FLOOR, 0.0) / (top - _FLOOR) * (_HEIGHT - 34.0)

    base = at + _HEIGHT
    parts = [f'<text x="{_LEFT:.0f}" y="{at + 12:.0f}" font-weight="600">{escape(model)}</text>']
    for tenth in range(5, 11):
        if (line := tenth / 10) > top:
            break
        y = base - height(line)
        parts.append(f'<line x1="{_LEFT}" x2="{width - _RIGHT:.0f}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e8ee"/>')
        parts.append(f'<text x="{_LEFT - 8:.0f}" y="{y + 4:.1f}" text-anchor="end" fill="#5b6875">{line:.1f}</text>')
    for g, (below, values) in enumerate(of):
        x = _LEFT + 12.0 + each * g
        for k, (value, (_, colour)) in enumerate(zip(values, SERIES, strict=True)):
            if value is None:
                continue
            left, tall = x + _BAR * k, height(value)
            parts.append(
                f'<rect x="{left:.1f}" y="{base - tall:.1f}" width="{_BAR - 3}" height="{tall:.1f}" fill="{colour}"/>'
            )
            parts.append(
                f'<text x="{left + (_BAR - 3) / 2:.1f}" y="{base - tall - 4:.1f}" font-size="9" '
                f'text-anchor="middle">{value:.2f}'.replace(">0.", ">.")
                + "</text>"
            )
        middle = x + _BAR * len(SERIES) / 2
        parts.append(f'<text x="{middle:.1f}" y="{base + 17:.1f}" text-anchor="middle">{escape(below)}</text>')
    return parts
