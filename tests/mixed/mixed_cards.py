"""Banks and departments that make one scorecard, played in one process, and the rows of all banks in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scorecard_cases import Kept, levels, numbers

from fedcredit.estimators import Federation, HeldOut
from fedcredit.estimators.mixed_frame import BankRows
from fedcredit.estimators.mixed_scorecard import MixedScorecard
from fedcredit.estimators.sums import Sums
from fedcredit.ids import PartyId
from fedcredit.runtime.state import run_at_once
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

BANKS = (NORTH, SOUTH, WEST) = tuple(map(PartyId, ("north", "south", "west")))
DEPARTMENTS = (TAX, WATER) = tuple(map(PartyId, ("tax", "water")))
Columns = dict[str, Column]


def some(columns: Columns, at: np.ndarray) -> Columns:
    return {name: replace(column, values=column.values[at]) for name, column in columns.items()}


@dataclass
class Town:
    """Rows of all banks: the columns of banks and departments, labels, whose row each is, and which are held out.

    Rows are in the order in which departments have them: bank by bank.
    """

    columns: dict[str, Columns]
    y: np.ndarray
    owner: np.ndarray
    held: np.ndarray

    def at(self, bank: int | None, *, held: bool) -> np.ndarray:
        return np.flatnonzero((self.held == held) & (True if bank is None else self.owner == bank))

    def rows(self) -> BankRows:
        counts = [{bank: self.at(k, held=held).size for k, bank in enumerate(BANKS)} for held in (False, True)]
        return BankRows(*counts)

    def of(self, party: str, bank: int | None, *, held: bool) -> Columns:
        return some(self.columns[party], self.at(bank, held=held))


def made(n: int = 4200, shares: tuple[float, ...] = (0.5, 0.35, 0.15), seed: int = 0, own: bool = True) -> Town:
    """Amounts, codes, levels, missing values; banks of different sizes, each with a worse share of bad rows."""
    rng = np.random.default_rng(seed)
    owner = np.sort(np.searchsorted(np.cumsum(shares), rng.random(n)))
    income, salary, turnover, pressure, noise = rng.normal(size=(5, n))
    codes = np.where(rng.random(n) < 0.15, -999.0, rng.normal(size=n))
    gone = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    branch = rng.integers(0, 5, n)
    z = -1.5 - 0.9 * income - 0.8 * turnover - 0.7 * (codes == -999.0) - 0.5 * (branch % 3) + 0.6 * np.isnan(gone)
    z += 0.5 * owner - 0.6 * pressure
    y = (rng.random(n) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    # Banks know how far their customers are in arrears, departments the rest.
    bank = [numbers("income", income), numbers("salary", salary)] if own else []
    every = {
        "banks": bank,
        TAX: [numbers("turnover", turnover), numbers("codes", codes, special=(-999.0,)), numbers("gone", gone)],
        WATER: [levels("branch", branch, tuple("abcde")), numbers("pressure", pressure), numbers("noise", noise)],
    }
    columns = {party: {column.name: column for column in of} for party, of in every.items()}
    return Town(columns, y, owner, rng.random(n) < 0.3)


def play(
    town: Town, *, epoch: int = 0, kept: dict[PartyId, Kept] | None = None, **params: Any
) -> dict[PartyId, MixedScorecard]:
    """`MixedScorecard.fit` at every party. Raises what the first party raises."""
    parties = (*BANKS, *DEPARTMENTS)
    network = MemoryNetwork(parties, insecure_in_process=True)

    async def party(me: PartyId) -> MixedScorecard:
        federation = Federation(
            me=me,
            label_party=BANKS[0],
            feature_parties=DEPARTMENTS,
            transport=network.transport(me),
            ssid=b"s" * 32,
            epoch=epoch,
            deadline_s=60,
            kept_secret=me.encode().ljust(32, b"."),
        )
        common: dict[str, Any] = {"banks": BANKS, "run_stage": kept[me] if kept else run_at_once}
        card = MixedScorecard(**params)
        if me in DEPARTMENTS:
            held = HeldOut(town.of(me, None, held=True), town.at(None, held=True).size)
            columns = town.of(me, None, held=False)
            return await card.fit(federation, columns, rows=town.rows(), held_out=held, **common)
        k = BANKS.index(me)
        sums = await Sums.begin(replace(federation, feature_parties=BANKS[1:]), "sums")
        rows, test = town.at(k, held=False), town.at(k, held=True)
        held = HeldOut(town.of("banks", k, held=True), test.size, town.y[test])
        columns = town.of("banks", k, held=False)
        return await card.fit(federation, columns, town.y[rows], sums=sums, held_out=held, **common)

    return dict(zip(parties, asyncio.run(together(parties, party)), strict=True))


async def together(parties: tuple[PartyId, ...], work: Callable[[PartyId], Any]) -> list[Any]:
    tasks = [asyncio.create_task(work(me)) for me in parties]
    done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    errors = [task.exception() for task in done if task.exception() is not None]
    if errors:
        for task in left:
            if not isinstance(errors[0], ConnectionError):
                task.cancel()
        others = await asyncio.gather(*left, return_exceptions=True)
        every = [*errors, *(error for error in others if isinstance(error, Exception))]
        raise min(every, key=lambda error: (type(error).__name__ in ("PeerError", "PeerLost"), str(error)))
    return [task.result() for task in tasks]
