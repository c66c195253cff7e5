"""`metrics.json` as one HTML file that opens anywhere and asks for nothing: no network, no fonts, no second file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fedcredit.report.figures import number
from fedcredit.report.page import build_page

__all__ = ["STATIC", "render"]

_HERE: Final = Path(__file__).resolve().parent
STATIC: Final = _HERE / "static"
_LIBRARY: Final = "echarts.common.min.js"
_DECIMALS: Final = 6  # of a chart's coordinates; finer than a pixel, and it halves the file


def render(metrics: Mapping[str, Any]) -> str:
    """The report of a job, as one self-contained HTML document.

    `metrics` is what stands in `metrics.json`; every key is optional, and an absent one leaves its section out. With
    `part_of`, the party whose page it is, it shows that party's part of the models alone, not the job. All
    text is escaped; the only scripts that may run are the two that ship with the package, by their hash.
    """
    page = build_page(metrics)
    scripts = [_source(_LIBRARY), _source("charts.js")]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            style=Markup(_source("report.css")),  # noqa: S704 ours, read from the package
            scripts=[Markup(script) for script in scripts],  # noqa: S704 likewise
            data=Markup(_embedded(page["charts"])),  # noqa: S704 escaped by `_embedded`
            policy="; ".join(
                [
                    "default-src 'none'",
                    "script-src " + " ".join(_permit(script) for script in scripts),
                    "style-src 'unsafe-inline'",
                    "img-src data:",
                    "base-uri 'none'",
                    "form-action 'none'",
                ]
            ),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _source(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _permit(script: str) -> str:
    """The source expression of a content security policy that admits exactly this script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _embedded(data: object) -> str:
    """JSON that cannot end the script element it stands in, nor be anything but data."""
    dumped = json.dumps(_plain(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return dumped.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: object) -> object:
    """`value` as JSON knows it: what is not finite becomes null, floats are rounded."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, bool | str | int):
        return value
    finite = number(value)
    return None if finite is None else round(finite, _DECIMALS)
