"""Binning through `Binning.fit` at several parties: optbinning's numbers, columns that are hard, a job that goes on."""

from __future__ import annotations

import asyncio
import itertools
import json
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.joining import Floor
from fedcredit.credit.settling import PrebinShape, prebins_of, settle_column, taken
from fedcredit.credit.woe import BinCounts
from fedcredit.errors import ConfigError, DataError, FedcreditError
from fedcredit.estimators import Binning, Federation
from fedcredit.estimators.bin_documents import bins_document, column_rows
from fedcredit.ids import PartyId
from fedcredit.runtime.state import StageState
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

BANK, TAX = PartyId("bank"), PartyId("tax")
VECTORS = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "optbinning.json").read_text())["real"]
S = TypeVar("S", bound=StageState)
Columns = dict[str, Column]


class Kept:
    """The stages of one party, as a store would have them."""

    def __init__(self, states: dict[str, bytes] | None = None, *, until: int | None = None) -> None:
        self.states = dict(states or {})
        self.made: list[str] = []
        self._until = until

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        if stage not in self.states:
            if len(self.states) == self._until:
                raise ConnectionError("cut off")
            self.states[stage] = (await work()).freeze()
            self.made.append(stage)
        return kind.thaw(self.states[stage])


def fit(
    columns: dict[PartyId, Columns],
    y: np.ndarray,
    *,
    epoch: int = 0,
    kept: dict[PartyId, Kept] | None = None,
    **params: Any,
) -> dict[PartyId, Binning]:
    """What `Binning.fit` gives at each party."""
    network = MemoryNetwork((BANK, TAX), insecure_in_process=True)
    kept = kept or {party: Kept() for party in (BANK, TAX)}

    async def party(me: PartyId) -> Binning:
        federation = Federation(
            me=me,
            label_party=BANK,
            feature_parties=(TAX,),
            transport=network.transport(me),
            ssid=b"s" * 32,
            epoch=epoch,
            deadline_s=60,
        )
        label = y if me == BANK else None
        binning = Binning(**params)
        return await binning.fit(federation, columns.get(me, {}), label, n_rows=y.size, run_stage=kept[me])

    async def both() -> list[Binning]:
        parties = [asyncio.create_task(party(me)) for me in (BANK, TAX)]
        done, _ = await asyncio.wait(parties, return_when=asyncio.FIRST_EXCEPTION)
        if any(isinstance(task.exception(), ConnectionError) for task in done):
            # Where one is cut off the other comes to its end of the stage: a job goes on behind what both have.
            await asyncio.wait(parties)
        return await asyncio.gather(*parties)

    return dict(zip((BANK, TAX), asyncio.run(both()), strict=True))


def rows_of(counts: dict[str, Any], splits: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """A column and labels that have optbinning's counts in its bins: of values, special (-999), missing ones."""
    middles = [splits[0] - 1, *[(a + b) / 2 for a, b in itertools.pairwise(splits)], splits[-1] + 1]
    of_bin = [*middles, -99999.0, np.nan]
    values, labels = [], []
    for value, good, bad in zip(of_bin, counts["good"], counts["bad"], strict=True):
        values += [value] * (good + bad)
        labels += [0] * good + [1] * bad
    return np.array(values), np.array(labels, np.uint8)


def usable(case: dict[str, Any]) -> bool:
    of = zip(case["own"]["good"], case["own"]["bad"], strict=True)
    return bool(case["own"]["splits"]) and all(
        good + bad == 0 or (min(good, bad) >= 10 and good + bad >= 50) for good, bad in of
    )


@pytest.mark.parametrize("case", [case for case in VECTORS if usable(case)], ids=lambda case: case["name"])
def test_woe_and_iv_are_optbinnings_with_the_same_splits(case: dict[str, Any]) -> None:
    theirs = case["own"]
    values, y = rows_of(theirs, theirs["splits"])
    order = np.random.default_rng(3).permutation(y.size)
    column = Column("x", "numeric", values[order], special=(-99999.0,), splits=tuple(theirs["splits"]))
    found = fit({TAX: {"x": column}}, y[order], iv_disclosure="exact")
    (mine,) = found[TAX].columns_
    assert mine.bins is not None
    assert mine.bins.evidence is not None
    assert mine.bins.splits == pytest.approx(theirs["splits"], abs=0)
    n = mine.bins.n_values
    want = [woe for woe, good, bad in zip(theirs["woe"], theirs["good"], theirs["bad"], strict=True) if good + bad]
    got = dict(zip(range(len(want)), mine.bins.evidence, strict=True))
    # optbinning lists special values before missing ones.
    tail = [theirs["woe"][n + 1]] * bool(theirs["good"][n + 1] + theirs["bad"][n + 1])
    tail += [theirs["woe"][n]] * bool(theirs["good"][n] + theirs["bad"][n])
    assert list(got.values()) == pytest.approx([*want[:n], *tail], abs=1e-12)
    assert mine.iv == pytest.approx(theirs["total_iv"], abs=1e-12)
    assert found[BANK].foreign_[0].iv == mine.iv


def test_hard_columns_have_bins_that_can_be_shown_or_none() -> None:
    rng = np.random.default_rng(4)
    n = 3000
    x = rng.normal(size=n)
    y = (rng.random(n) < 1 / (1 + np.exp(1.5 - x))).astype(np.uint8)
    rare = np.where(np.arange(n) < 40, np.nan, x)
    pure = np.where(y == 0, rng.normal(size=n), 5.0)  # a bin without good rows, and one without bad ones
    columns = {
        "constant": Column("constant", "numeric", np.full(n, 3.0)),
        "missing": Column("missing", "numeric", np.full(n, np.nan)),
        "rare": Column("rare", "numeric", rare),
        "pure": Column("pure", "numeric", pure),
        "by hand": Column("by hand", "numeric", x, splits=(-9.0, 0.0)),
        "codes": Column("codes", "numeric", np.where(x > 1, -1.0, x), special=(-1.0, -2.0)),
        "one level": Column("one level", "categorical", np.zeros(n), ("a",)),
        "levels": Column("levels", "categorical", rng.integers(0, 900, n).astype(float), tuple(map(str, range(900)))),
    }
    for small in ("merge", "refuse"):
        found = fit({BANK: columns, TAX: columns}, y, method="quantile", iv_disclosure="exact", small=small)
        for party in (BANK, TAX):
            by_name = {column.column.name: column for column in found[party].columns_}
            assert by_name.keys() == columns.keys()
            for name, column in by_name.items():
                if column.bins is None:
                    assert (column.refused, column.iv) == ("BIN_TOO_SMALL", None)
                    continue
                counts = BinCounts.of(column.bins.codes(columns[name].values), y, column.bins.n_bins)
                assert not Floor().below(counts).any(), name
                assert list(column.rows) == counts.rows.tolist()
            assert (
                by_name["constant"].iv == by_name["missing"].iv == by_name["one level"].iv == by_name["levels"].iv == 0
            )
            assert (by_name["pure"].bins is None) == (by_name["by hand"].bins is None) == (small == "refuse")
        # The same columns have the same bins at either party; one that is refused before it is cut is never declared.
        assert bins_document(TAX, BANK, BinParams(), found[TAX].columns_)
        rows = column_rows(BANK, found[BANK].params, found[BANK].columns_, found[BANK].foreign_)
        assert len(rows) == 2 * len(columns) - (small == "refuse")
        for column, other in zip(found[BANK].columns_, found[TAX].columns_, strict=True):
            assert (column.bins, column.iv, column.rows) == (other.bins, other.iv, other.rows)


def test_one_class_is_refused_before_anything_is_counted() -> None:
    with pytest.raises(DataError) as refused:
        fit({TAX: {"x": Column("x", "numeric", np.arange(400.0))}}, np.zeros(400, np.uint8))
    assert refused.value.code == "LABEL_ONE_CLASS"


def test_a_column_of_a_million_levels_takes_no_more_than_its_values() -> None:
    n = 1_000_000
    levels = np.random.default_rng(0).permutation(n).astype(float)
    y = (np.arange(n) % 3 == 0).astype(np.uint8)
    tracemalloc.start()
    params = BinParams()
    bins = prebins_of(levels, params, levels=True)
    shape = PrebinShape.of(bins)
    settled = settle_column(shape, BinCounts.of(bins.codes(levels), y, bins.n_bins), params)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (shape.n_bins, settled.iv, taken(bins, settled.labels).n_bins) == (1, 0.0, 1)
    assert peak < 12 * levels.nbytes


def test_a_job_that_was_cut_off_goes_on_to_the_same_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.protocols.binning.columns.BATCH_BYTES", 1)
    rng = np.random.default_rng(9)
    n = 600
    x = rng.normal(size=(4, n))
    y = (rng.random(n) < 1 / (1 + np.exp(1 - x[0] - x[2]))).astype(np.uint8)
    columns = {
        BANK: {"a": Column("a", "numeric", x[0])},
        TAX: {name: Column(name, "numeric", x[k]) for k, name in enumerate("bcd", start=1)},
    }
    whole = fit(columns, y, iv_disclosure="exact")
    full = {party: Kept() for party in (BANK, TAX)}
    fit(columns, y, kept=full, iv_disclosure="exact")
    assert full[TAX].made == ["binning/declare", *(f"binning/counts.{k}" for k in range(3)), "binning/bins"]
    for until in range(1, 5):
        first = {party: Kept(until=until) for party in (BANK, TAX)}
        with pytest.raises(ConnectionError):
            fit(columns, y, kept=first, iv_disclosure="exact")
        again = {party: Kept(first[party].states) for party in (BANK, TAX)}
        resumed = fit(columns, y, kept=again, epoch=1, iv_disclosure="exact")
        assert again[TAX].made == again[BANK].made == full[TAX].made[until:]
        for party in (BANK, TAX):
            documents = [bins_document(party, BANK, BinParams(), b[party].columns_) for b in (whole, resumed)]
            assert documents[0] == documents[1]


def test_other_columns_than_before_an_interruption_are_refused() -> None:
    y = np.tile(np.array([0, 1], np.uint8), 200)
    columns = {TAX: {"x": Column("x", "numeric", np.arange(400.0))}}
    kept = {party: Kept() for party in (BANK, TAX)}
    fit(columns, y, kept=kept)
    columns[TAX]["more"] = columns[TAX]["x"]
    with pytest.raises(FedcreditError) as refused:
        fit(columns, y, kept={party: Kept(kept[party].states) for party in (BANK, TAX)}, epoch=1)
    assert refused.value.code == "STATE_INVALID"


@pytest.mark.parametrize(
    ("values", "code", "where"),
    [
        ({"max_bins": 5}, "CONFIG_UNKNOWN_KEY", "max_bins"),
        ({"method": "best"}, "CONFIG_VALUE", "method"),
        ({"monotone": "up"}, "CONFIG_VALUE", "monotone"),
        ({"iv_disclosure": "all"}, "CONFIG_VALUE", "iv_disclosure"),
        ({"max_bin": 1}, "CONFIG_VALUE", "max_bin"),
        ({"prebins": 257}, "CONFIG_VALUE", "prebins"),
        ({"max_bin": True}, "CONFIG_TYPE", "max_bin"),
        ({"min_share": "much"}, "CONFIG_TYPE", "min_share"),
        ({"min_share": 0.6}, "CONFIG_VALUE", "min_share"),
        ({"min_rows": 49}, "CONFIG_FLOOR", "min_rows"),
        ({"min_events": 9}, "CONFIG_FLOOR", "min_events"),
        ({"min_non_events": 0}, "CONFIG_FLOOR", "min_non_events"),
        ({"method": "quantile", "monotone": "peak"}, "CONFIG_CONFLICT", "monotone"),
        ({"p_value": 0.01}, "CONFIG_CONFLICT", "p_value"),
        ({"method": "width", "prebins": 20}, "CONFIG_CONFLICT", "prebins"),
    ],
)
def test_parameters_that_are_none_are_named(values: dict[str, Any], code: str, where: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BinParams.from_mapping(values)
    assert [(problem.code, problem.where) for problem in refused.value.problems] == [(code, where)]
    if code == "CONFIG_UNKNOWN_KEY":
        assert "max_bin" in refused.value.problems[0].fix
