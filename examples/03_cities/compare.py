"""Each city alone, all together, and all rows in one place: a table, and a picture of it.

    python examples/03_cities/compare.py [OUT]

OUT, runs/cities unless it is given, is where `fedcredit simulate` left the result. What a city has alone and together
it has written down itself, in parties/CITY/model/MODEL/own.json, for its own people; here one person owns all cities.
Pooled is what an example alone may do: it reads all tables, and trains on all rows in one place.
"""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from fedcredit.cli.demo_cities import PLOT, plot, table
from fedcredit.cli.demo_pooled import Compared, compare
from fedcredit.runtime.config import load_job

JOB = Path(__file__).with_name("job.toml")
OUT = Path("runs/cities")


def worth(found: list[Compared]) -> str:
    """Who gains most, and whether anything was lost by not pooling, in words."""
    cities = [row for row in found if row.party is not None and row.alone is not None and row.joint is not None]
    best = max(cities, key=lambda row: (row.joint or 0.0) - (row.alone or 0.0))
    gap = max(abs((row.joint or 0.0) - (row.pooled or 0.0)) for row in cities)
    return (
        f"{best.party} gains most: {best.model} ranks {best.joint:.3f} of its pairs right instead of {best.alone:.3f}. "
        f"The largest difference from pooled rows is {gap:.4f}."
    )


def main(out: Path) -> None:
    """Print the table, and draw it."""
    found = compare(load_job(JOB), out)
    console = Console(highlight=False, width=80)
    console.print(table(found))
    console.print(worth(found))
    (out / PLOT).write_text(plot(found), encoding="utf-8")
    console.print(f"Bars: {out / PLOT}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
