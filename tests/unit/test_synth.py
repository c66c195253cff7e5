"""The synthetic consortium: valid codes, honest overlap, the recipe's identities, and a margin worth joining for."""

from __future__ import annotations

import csv
import json
import tomllib

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.runtime.job_file import load_job
from fedcredit.synth import DEMO_PARTIES, Consortium, generate, write_demo
from fedcredit.synth.fields import FIELDS

ALL_PARTIES = tuple(FIELDS)
ROWS = 20_000


@pytest.fixture(scope="module")
def consortium() -> Consortium:
    return generate(ROWS, seed=7, parties=ALL_PARTIES)


def column(consortium: Consortium, party: str, name: str) -> np.ndarray:
    return consortium.holdings[party].columns[name]


def check_character(body: str) -> str:
    """GB 32100-2015 annex A, one code at a time, straight from the standard's table."""
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    weights = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28]
    rest = sum(alphabet.index(c) * w for c, w in zip(body, weights, strict=True)) % 31
    return alphabet[(31 - rest) % 31]


def organisation_check_character(body: str) -> str:
    """GB 11714-1997: letters count from A = 10, weights 3 7 9 10 5 8 4 2, modulus 11, ten is X."""
    total = sum(int(c, 36) * w for c, w in zip(body, [3, 7, 9, 10, 5, 8, 4, 2], strict=True))
    return "0123456789X"[(11 - total % 11) % 11]


def test_the_scalar_checks_accept_a_published_code():
    assert check_character("91350100M000100Y4") == "3"  # the example of GB 32100-2015
    assert organisation_check_character("M000100Y") == "4"


def test_every_code_has_both_check_characters(consortium):
    codes = np.unique(np.concatenate([holding.ids for holding in consortium.holdings.values()]))[:3_000].astype(str)
    assert all(code[17] == check_character(code[:17]) for code in codes)
    assert all(code[16] == organisation_check_character(code[8:16]) for code in codes)


def test_no_party_has_an_enterprise_twice(consortium):
    for holding in consortium.holdings.values():
        assert holding.ids.dtype == np.dtype("S18")
        assert np.unique(holding.ids).size == holding.n_rows


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(consortium):
    again, other = generate(ROWS, seed=7), generate(ROWS, seed=8)
    for party in DEMO_PARTIES:
        first, second = consortium.holdings[party], again.holdings[party]
        assert (first.ids == second.ids).all()
        assert all(np.array_equal(first.columns[c], second.columns[c], equal_nan=True) for c in first.columns)
    assert np.intersect1d(other.holdings["tax"].ids, again.holdings["tax"].ids).size < 20


def test_parties_overlap_in_part(consortium):
    ids = {party: set(holding.ids) for party, holding in consortium.holdings.items()}
    pool = set().union(*ids.values())
    share = {party: len(held) / ROWS for party, held in ids.items()}
    assert len(pool) <= ROWS
    assert 0.72 < share["bank"] < 0.78
    assert share["tax"] > 0.97
    assert 0.78 < share["social_insurance"] < 0.82
    assert 0.5 < len(ids["bank"] & ids["tax"] & ids["social_insurance"]) / ROWS < 0.7
    assert ids["bank"] - ids["social_insurance"]
    assert ids["social_insurance"] - ids["bank"]


def test_rows_stand_in_another_order_at_each_party(consortium):
    bank, tax = consortium.holdings["bank"].ids, consortium.holdings["tax"].ids
    common, at_bank, at_tax = np.intersect1d(bank, tax, return_indices=True)
    assert common.size > 10_000
    assert abs(np.corrcoef(at_bank, at_tax)[0, 1]) < 0.05


@pytest.mark.parametrize("rate", [0.03, 0.05, 0.10])
def test_default_rate_is_what_was_asked_for(rate):
    label = column(generate(ROWS, seed=1, default_rate=rate), "bank", "default_12m")
    assert set(np.unique(label)) == {0.0, 1.0}
    assert abs(label.mean() - rate) < 0.15 * rate


def test_missing_rows_are_informative(consortium):
    bank, enrolled = consortium.holdings["bank"], set(consortium.holdings["social_insurance"].ids)
    has_row = np.array([code in enrolled for code in bank.ids])
    label = bank.columns["default_12m"]
    assert label[~has_row].mean() > 1.2 * label[has_row].mean()


def test_identities_hold(consortium):
    def of(party, name):
        return column(consortium, party, name)

    assert (of("tax", "vat_paid_12m") <= of("tax", "vat_payable_12m")).all()
    assert (of("tax", "cit_paid_12m") <= of("tax", "cit_payable_12m")).all()
    assert (np.isnan(of("tax", "vat_paid_ratio")) == (of("tax", "vat_payable_12m") == 0)).all()
    assert (of("tax", "continuous_months") <= of("tax", "registered_months")).all()
    assert ((of("tax", "arrears_amount") > 0) == (of("tax", "in_arrears") == 1)).all()
    abnormal, grade = of("tax", "abnormal_taxpayer") == 1, of("tax", "tax_grade")
    assert set(np.unique(grade[abnormal & ~np.isnan(grade)])) == {4.0}
    young = of("tax", "registered_months") < 36
    assert (grade[young] != 0).all(), "grade A is closed to firms younger than three years"
    insurance = consortium.holdings["social_insurance"].columns
    assert np.allclose(
        insurance["headcount_trend"], insurance["insured_count"] / insurance["average_insured_12m"], rtol=1e-12
    )
    power = consortium.holdings["electricity"].columns
    assert (power["average_3m"] * 3 <= power["average_6m"] * 6 + 1e-6).all()
    assert (power["average_6m"] * 6 <= power["average_12m"] * 12 + 1e-6).all()


def test_insured_are_at_most_a_tenth_more_than_employees():
    from fedcredit.synth.departments import draw_social_insurance
    from fedcredit.synth.population import Streams, draw_population

    streams = Streams(3)
    population = draw_population(5_000, streams)
    columns = draw_social_insurance(population, streams).columns
    assert (columns["insured_count"] <= 1.1 * population.employees).all()
    assert (columns["insured_count"] >= 1).all()
    correlation = np.corrcoef(np.log(population.employees), np.log(columns["insured_count"]))[0, 1]
    assert correlation > 0.85
    traits = np.corrcoef([population.size, population.health, population.compliance, population.stress])
    assert np.allclose(traits[np.triu_indices(4, 1)], [0.25, 0.10, -0.12, 0.45, -0.55, -0.30], atol=0.05)


def test_files_say_what_the_tables_hold(tmp_path):
    consortium = generate(400, seed=5, parties=ALL_PARTIES)
    paths = consortium.write(tmp_path / "data")
    for party, path in paths.items():
        holding = consortium.holdings[party]
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["uscc"] for row in rows] == holding.ids.astype(str).tolist()
        assert list(rows[0]) == ["uscc", *(field.name for field in FIELDS[party])]
        for field in FIELDS[party]:
            for row, value in zip(rows, holding.columns[field.name], strict=True):
                text = row[field.name]
                if np.isnan(value):
                    assert text == ""
                elif field.kind == "category":
                    assert text == field.levels[int(value)]
                else:
                    assert float(text) == pytest.approx(value, abs=0.51 if field.kind == "whole" else 5.1e-5)
    dictionary = json.loads((tmp_path / "data" / "dictionary.json").read_text(encoding="utf-8"))
    assert dictionary["parties"].keys() == paths.keys()
    text = (tmp_path / "data" / "DICTIONARY.md").read_text(encoding="utf-8")
    assert all(f"`{field.name}`" in text and field.chinese in text for fields in FIELDS.values() for field in fields)


def test_writing_twice_gives_the_same_bytes(tmp_path):
    first, second = (write_demo(tmp_path / name, 500, 7).parent for name in ("a", "b"))
    names = sorted(path.name for path in first.iterdir())
    assert names == ["DICTIONARY.md", "JOB.toml", "bank.csv", "dictionary.json", "social_insurance.csv", "tax.csv"]
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_demo_job_names_its_tables_and_one_label(tmp_path):
    path = write_demo(tmp_path, 300, 9)
    job = tomllib.loads(path.read_text(encoding="utf-8"))
    assert job["job"] == {"name": "sme-default", "purpose": "financing", "seed": 9}
    assert tuple(job["parties"]) == DEMO_PARTIES
    assert [party for party, table in job["parties"].items() if "label" in table] == ["bank"]
    for table in job["parties"].values():
        header = (path.parent / table["table"]).read_text(encoding="utf-8").splitlines()[0].split(",")
        assert {table["id"], *table.get("drop", []), *filter(None, [table.get("label")])} <= set(header)
    assert [model["kind"] for model in job["model"]] == ["gbdt"]
    assert load_job(path).job.name == "sme-default"


def test_a_demo_with_enough_rows_makes_a_scorecard_too(tmp_path):
    job = load_job(write_demo(tmp_path, 4_000, 9))
    assert [model.kind for model in job.models] == ["scorecard", "gbdt"]


def test_no_column_holds_a_hidden_trait(consortium):
    names = {field.name for fields in FIELDS.values() for field in fields}
    assert not names & {"size", "health", "compliance", "stress", "shock", "revenue", "employees"}


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_tiny_pools_work(rows, tmp_path):
    generate(rows, seed=0).write(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"rows": 0, "seed": 1}, "SYNTH_ROWS"),
        ({"rows": 10, "seed": -1}, "SYNTH_SEED"),
        ({"rows": 10, "seed": 1, "default_rate": 0.9}, "SYNTH_RATE"),
        ({"rows": 10, "seed": 1, "parties": ("tax",)}, "SYNTH_PARTIES"),
        ({"rows": 10, "seed": 1, "parties": ("bank", "nobody")}, "SYNTH_PARTIES"),
    ],
)
def test_bad_arguments_are_named(arguments, code):
    with pytest.raises(ConfigError) as error:
        generate(**arguments)
    assert error.value.code == code


@pytest.mark.slow
def test_joining_beats_every_party_alone_by_the_recipes_margin():
    lightgbm = pytest.importorskip("lightgbm")
    holdings = generate(200_000, seed=7).holdings
    common = np.intersect1d(np.intersect1d(holdings["bank"].ids, holdings["tax"].ids), holdings["social_insurance"].ids)
    features: dict[str, np.ndarray] = {}
    for party, holding in holdings.items():
        order = np.argsort(holding.ids)
        rows = order[np.searchsorted(holding.ids, common, sorter=order)]
        columns = {name: values[rows] for name, values in holding.columns.items()}
        if party == "bank":
            label = columns.pop("default_12m")
            del columns["observation_month"]
        features[party] = np.column_stack(list(columns.values()))
    test = np.random.default_rng(0).random(common.size) < 0.2
    parameters = {"objective": "binary", "max_depth": 4, "max_bin": 32, "min_data_in_leaf": 100, "verbose": -1}

    def held_out_auc(matrix: np.ndarray) -> float:
        model = lightgbm.train(parameters, lightgbm.Dataset(matrix[~test], label[~test]), 60)
        return area_under_roc(label[test], model.predict(matrix[test]))

    alone = {party: held_out_auc(matrix) for party, matrix in features.items()}
    joint = held_out_auc(np.hstack(list(features.values())))
    assert min(alone.values()) > 0.65
    assert joint > max(alone.values()) + 0.04
    assert joint > alone["bank"] + 0.05


def area_under_roc(label: np.ndarray, score: np.ndarray) -> float:
    """Mann and Whitney's statistic; ties are too rare here to matter."""
    rank = np.argsort(np.argsort(score)) + 1.0
    bads = label.sum()
    return float((rank[label == 1].sum() - bads * (bads + 1) / 2) / (bads * (label.size - bads)))
