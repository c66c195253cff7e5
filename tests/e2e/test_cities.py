"""The example of five cities, as its README says it: each alone, all together, and pooled."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from e2e.conftest import ROOT

from fedcredit.synth import CITIES

pytestmark = pytest.mark.slow
EXAMPLE = Path("examples") / "03_cities"
MODELS = ("scorecard.0", "logistic.1", "gbdt.2")
ROW = re.compile(
    r"^ *(?:(\w+\.\d) +)?(\w+|all cities) +([\d,]+) +([\d,]+) +(0\.\d+) +(0\.\d+) +([+-]0\.\d+) +(0\.\d+) *$", re.M
)


@dataclass(frozen=True)
class Played:
    folder: Path
    said: str

    @property
    def out(self) -> Path:
        return self.folder / "runs" / "cities"

    def table(self) -> dict[tuple[str, str], tuple[float, float, float]]:
        """(model, city): AUC alone, joint, pooled."""
        found, model = {}, ""
        for row in ROW.finditer(self.said):
            model = row[1] or model
            found[model, row[2]] = float(row[5]), float(row[6]), float(row[8])
        return found


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """What the README's commands leave and say."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(ROOT / EXAMPLE, folder / EXAMPLE, ignore=shutil.ignore_patterns("data", "__pycache__"))
    (commands,) = re.findall(r"```sh\n(.*?)```", (ROOT / EXAMPLE / "README.md").read_text(), re.DOTALL)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Played(folder, done.stdout)


def test_the_table_has_each_city_alone_together_and_pooled(played: Played) -> None:
    table = played.table()
    assert list(table) == [(model, city) for model in MODELS for city in (*CITIES, "all cities")]
    smallest = min(CITIES, key=lambda city: CITIES[city].rows)
    for model in MODELS:
        alone, joint, _ = table[model, smallest]
        assert joint >= alone
        alone, joint, _ = table[model, "all cities"]
        assert joint > alone + 0.01
    assert all(abs(joint - pooled) < 0.01 for _, joint, pooled in table.values())
    assert "The largest difference from pooled rows is 0.00" in " ".join(played.said.split())


def test_the_readme_says_what_comes_out(played: Played) -> None:
    readme = (ROOT / EXAMPLE / "README.md").read_text()
    said = {
        city: tuple(map(float, row))
        for city, *row in re.findall(r"\| (\w+) \| (0\.\d+) \| (0\.\d+) \| (0\.\d+) \|", readme)
    }
    assert list(said) == list(CITIES)
    for city, figures in said.items():
        # Another processor may end a sum of LightGBM's another way, and one pair of rows with it.
        assert figures == pytest.approx(played.table()["gbdt.2", city], abs=0.006)


def test_each_city_has_its_own_page_and_the_page_of_all_has_nobodys_figures(played: Played) -> None:
    for city in CITIES:
        page = (played.out / "parties" / city / "report.html").read_text()
        figures = json.loads((played.out / "parties" / city / "model" / "gbdt.2" / "own.json").read_text())
        alone, joint = f"{figures['auc_alone']:.3f}", f"{figures['auc']:.3f}"
        assert f'<td class="n">{alone}</td><td class="n strong">{joint}</td>' in page
        assert page.count("Your own rows") == 1
    everybodys = (played.out / "report.html").read_text()
    assert "Your own rows" not in everybodys
    assert "own" not in json.loads((played.out / "metrics.json").read_text())


def test_the_bars_are_drawn(played: Played) -> None:
    drawn = (played.out / "cities.svg").read_text()
    assert drawn.count('fill="#14366f"') == 1 + len(MODELS) * (len(CITIES) + 1)
    assert all(f">{city}</text>" in drawn for city in CITIES)
