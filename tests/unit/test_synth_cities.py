"""Five made-up cities: the sizes and default rates that were asked for, other spreads, and mostly one relation."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fedcredit.credit.glm import fit_logistic
from fedcredit.credit.metrics import rank_curve
from fedcredit.errors import ConfigError
from fedcredit.runtime.job_file import load_job
from fedcredit.synth import CITIES, LABEL, Holding, draw_cities, write_cities
from fedcredit.synth.cities import CITY_FIELDS

Cities = Mapping[str, Holding]


@pytest.fixture(scope="module")
def cities() -> Cities:
    return draw_cities()


def test_sizes_and_default_rates_are_those_that_are_stated(cities: Cities) -> None:
    assert {name: held.n_rows for name, held in cities.items()} == {name: city.rows for name, city in CITIES.items()}
    assert max(city.rows for city in CITIES.values()) >= 10 * min(city.rows for city in CITIES.values())
    for name, city in CITIES.items():
        rate = cities[name].columns[LABEL].mean()
        assert abs(rate - city.default_rate) < 3 * np.sqrt(city.default_rate / city.rows), name


def test_no_enterprise_is_in_two_cities(cities: Cities) -> None:
    ids = np.concatenate([held.ids for held in cities.values()])
    assert np.unique(ids).size == ids.size


def test_all_have_the_same_columns_spread_differently_and_some_values_missing(cities: Cities) -> None:
    names = [field.name for field in CITY_FIELDS]
    for held in cities.values():
        assert list(held.columns) == names
        missing = np.mean([np.isnan(held.columns[name]).mean() for name in names[1:]])
        assert 0.01 < missing < 0.2
        assert not np.isnan(held.columns[LABEL]).any()
    small, large = (np.nanmean(np.log(cities[name].columns["insured_count"])) for name in ("oasis", "delta"))
    assert large > small + 0.5


def table(held: Holding) -> np.ndarray:
    values = np.stack([held.columns[field.name] for field in CITY_FIELDS[1:]], axis=1)
    values = np.sign(values) * np.log1p(np.abs(values))
    return np.where(np.isnan(values), np.nanmean(values, axis=0), values)


def test_what_columns_say_is_mostly_the_same_so_the_smallest_city_gains_from_the_others(cities: Cities) -> None:
    tables, labels = ([of(held) for held in cities.values()] for of in (table, lambda h: h.columns[LABEL]))
    small, y = tables[-1], labels[-1].astype(np.uint8)
    half = np.arange(y.size) % 2 == 0
    others, their_y = np.concatenate(tables[:-1]), np.concatenate(labels[:-1]).astype(np.uint8)
    found = []
    for x, of in ((small[half], y[half]), (others, their_y)):
        mean, spread = x.mean(axis=0), x.std(axis=0)
        fit = fit_logistic((x - mean) / spread, of, l2=1.0)
        found.append(rank_curve(y[~half], fit.log_odds((small[~half] - mean) / spread, None)).auc)
    assert found[1] > found[0] + 0.01


def test_the_same_arguments_give_the_same_files_and_another_seed_others(tmp_path: Path) -> None:
    first, again, other = (write_cities(tmp_path / name, 1_500, seed) for name, seed in (("a", 7), ("b", 7), ("c", 8)))
    for city in CITIES:
        content = (first.parent / f"{city}.csv").read_bytes()
        assert content == (again.parent / f"{city}.csv").read_bytes()
        assert content != (other.parent / f"{city}.csv").read_bytes()
    with (first.parent / "oasis.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["uscc", *(field.name for field in CITY_FIELDS)]
    job = load_job(first)
    assert list(job.parties) == list(CITIES)
    assert {model.split for model in job.models} == {"horizontal"}


@pytest.mark.parametrize(("rows", "seed", "code"), [(999, 7, "SYNTH_ROWS"), (5_000, -1, "SYNTH_SEED")])
def test_arguments_out_of_range_are_refused(rows: int, seed: int, code: str) -> None:
    with pytest.raises(ConfigError) as refused:
        draw_cities(rows, seed=seed)
    assert refused.value.problems[0].code == code
