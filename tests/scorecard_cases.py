"""Parties with columns for a joint scorecard, played in one process, and the card of the pooled table beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from fedcredit.estimators import Federation, HeldOut, Scorecard
from fedcredit.ids import PartyId
from fedcredit.runtime.state import StageState, run_at_once
from fedcredit.tables import Column
from fedcredit.transport.memory import MemoryNetwork

BANK, TAX, WATER = PartyId("bank"), PartyId("tax"), PartyId("water")
S = TypeVar("S", bound=StageState)
Columns = dict[str, Column]


class Kept:
    """The stages of one party, as a store would have them; cut off before the stage named `until`."""

    def __init__(self, states: dict[str, bytes] | None = None, *, until: str | None = None) -> None:
        self.states = dict(states or {})
        self.made: list[str] = []
        self._until = until

    async def __call__(self, stage: str, kind: type[S], work: Callable[[], Awaitable[S]]) -> S:
        if stage not in self.states:
            if self._until is not None and stage.endswith(self._until):
                raise ConnectionError("cut off")
            self.states[stage] = (await work()).freeze()
            self.made.append(stage)
        return kind.thaw(self.states[stage])


@dataclass
class Case:
    """Columns and labels of rows to train on, and of rows held out."""

    columns: dict[PartyId, Columns]
    y: np.ndarray
    held: dict[PartyId, Columns] = field(default_factory=dict)
    y_held: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))

    @property
    def parties(self) -> tuple[PartyId, ...]:
        return tuple(self.columns)

    def held_out(self, me: PartyId) -> HeldOut:
        return HeldOut(self.held.get(me, {}), self.y_held.size, self.y_held if me == BANK else None)


def numbers(name: str, values: Any, **how: Any) -> Column:
    return Column(name, "numeric", np.asarray(values, np.float64), (), **how)


def levels(name: str, values: Any, of: tuple[str, ...]) -> Column:
    return Column(name, "categorical", np.asarray(values, np.float64), of)


def made(parties: int = 2, n: int = 3000, n_held: int = 1500, seed: int = 0) -> Case:
    """Amounts, codes, levels, missing values at two or three parties, a twin of another party's column, and noise."""
    rng = np.random.default_rng(seed)
    size = n + n_held
    own, salary, turnover, pressure = rng.normal(size=(4, size))
    twin = turnover + 0.1 * rng.normal(size=size)
    codes = np.where(rng.random(size) < 0.15, -999.0, rng.normal(size=size))
    gone = np.where(rng.random(size) < 0.2, np.nan, rng.normal(size=size))
    branch = rng.integers(0, 5, size)
    z = -1.1 - 0.9 * own - 0.8 * turnover - 0.7 * (codes == -999.0) - 0.5 * (branch % 3) + 0.6 * np.isnan(gone)
    z -= 0.6 * pressure
    y = (rng.random(size) < 1 / (1 + np.exp(-z))).astype(np.uint8)
    every: dict[PartyId, list[Column]] = {
        BANK: [numbers("own", own), numbers("salary", salary)],
        TAX: [
            numbers("turnover", turnover),
            numbers("codes", codes, special=(-999.0,)),
            numbers("gone", gone),
            levels("branch", branch, tuple("abcde")),
            numbers("one value", np.ones(size)),
        ],
        WATER: [numbers("twin", twin), numbers("pressure", pressure)],
    }
    chosen = {party: every[party] for party in (BANK, TAX, WATER)[:parties]}
    if parties == 2:
        chosen[TAX] = [*chosen[TAX], numbers("pressure", pressure)]

    def rows(at: slice) -> dict[PartyId, Columns]:
        return {
            party: {c.name: Column(c.name, c.kind, c.values[at], c.levels, c.special, c.splits) for c in columns}
            for party, columns in chosen.items()
        }

    return Case(rows(slice(n)), y[:n], rows(slice(n, None)), y[n:])


def play(
    case: Case,
    *,
    epoch: int = 0,
    kept: dict[PartyId, Kept] | None = None,
    then: Callable[[Scorecard, Federation], Awaitable[Any]] | None = None,
    **params: Any,
) -> dict[PartyId, Any]:
    """`Scorecard.fit` at every party, and what `then` gives there, if anything. Raises what the first party raises."""
    parties = case.parties
    network = MemoryNetwork(parties, insecure_in_process=True)

    async def party(me: PartyId) -> Any:
        federation = Federation(
            me=me,
            label_party=BANK,
            feature_parties=parties[1:],
            transport=network.transport(me),
            ssid=b"s" * 32,
            epoch=epoch,
            deadline_s=60,
            kept_secret=me.encode().ljust(32, b"."),
        )
        card = await Scorecard(**params).fit(
            federation,
            case.columns[me],
            case.y if me == BANK else None,
            n_rows=case.y.size,
            held_out=case.held_out(me),
            run_stage=kept[me] if kept else run_at_once,
        )
        return card if then is None else await then(card, federation)

    async def all_parties() -> list[Any]:
        tasks = [asyncio.create_task(party(me)) for me in parties]
        done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        errors = [task.exception() for task in done if task.exception() is not None]
        if errors:
            for task in left:
                # Those that are cut off all are, before the same stage.
                if not isinstance(errors[0], ConnectionError):
                    task.cancel()
            others = await asyncio.gather(*left, return_exceptions=True)
            every = [*errors, *(error for error in others if isinstance(error, Exception))]
            # What a party says itself, before what it is told that another one said.
            raise min(every, key=lambda error: (type(error).__name__ in ("PeerError", "PeerLost"), str(error)))
        return [task.result() for task in tasks]

    return dict(zip(parties, asyncio.run(all_parties()), strict=True))
