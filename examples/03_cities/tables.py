"""The tables of the five cities, made up: a CSV for each.

    python examples/03_cities/tables.py [FOLDER]

The folder is data beside this file unless it is given, which is where job.toml looks for them.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fedcredit.synth import CITIES, write_city_tables

FOLDER = Path(__file__).with_name("data")


def main(folder: Path) -> None:
    """Write them, and say what each city has."""
    paths = write_city_tables(folder)
    print(f"{'city':8}{'rows':>8}{'bad':>8}")
    for name, city in CITIES.items():
        print(f"{name:8}{city.rows:8,}{city.default_rate:8.0%}  {paths[name]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
