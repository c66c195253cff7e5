"""Total points of rows: sums, that each share alone says nothing, any order of delivery, and bad messages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import ConfigError, DataError, PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.totals import TotalsFeature, TotalsLabel, TotalsPartner, TotalsShape
from fedcredit.transport.memory import run_network
from fedcredit.wire.tally import MAX_CHUNK_ROWS, MAX_ROWS, PointShares

PARTIES = BANK, TAX, WATER, POWER = tuple(map(PartyId, ("bank", "tax", "water", "power")))


def points(parties: int, n: int) -> list[np.ndarray]:
    return list(np.random.default_rng(n).integers(-(10**6), 10**6, (parties, n)))


def roles(values: list[np.ndarray]) -> dict[PartyId, Steps[Any]]:
    shape = TotalsShape(BANK, PARTIES[1 : len(values)], values[0].size)
    found: dict[PartyId, Steps[Any]] = {
        BANK: TotalsLabel(shape, values[0]).steps(),
        TAX: TotalsPartner(shape, values[1]).steps(),
    }
    for peer, of in zip(shape.peers[1:], values[2:], strict=True):
        found[peer] = TotalsFeature(shape, of).steps(insecure_seeded(1, peer))
    return found


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("n", [1, 1000, MAX_CHUNK_ROWS // 8 + 3])
def test_totals_are_sums(parties: int, n: int) -> None:
    values = points(parties, n)
    results = run_network(roles(values), insecure_in_process=True).results
    assert np.array_equal(results[BANK], sum(values))
    assert all(results[party] is None for party in PARTIES[1:parties])


@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_order_of_delivery_gives_the_same(data: st.DataObject) -> None:
    values = points(4, 20)
    outcome = run_network(roles(values), insecure_in_process=True, pick=lambda links: data.draw(st.sampled_from(links)))
    assert np.array_equal(outcome.results[BANK], sum(values))


@pytest.mark.parametrize("sender", [TAX, WATER])
@pytest.mark.parametrize("change", ["first", "size"])
def test_points_of_other_rows_are_refused(sender: PartyId, change: str) -> None:
    def tamper(link: tuple[PartyId, PartyId], tag: int, body: bytes) -> tuple[int, bytes]:
        if link[0] != sender:
            return tag, body
        words = PointShares.decode(body).words
        changed = PointShares(1, words) if change == "first" else PointShares(0, words[:-1])
        return tag, changed.encode()

    with pytest.raises(PeerError) as raised:
        run_network(roles(points(3, 50)), insecure_in_process=True, tamper=tamper)
    assert (raised.value.culprit, raised.value.code) == (sender, "SHAPE")


def test_what_is_no_shape_is_refused() -> None:
    with pytest.raises(ConfigError):
        TotalsShape(BANK, (), 10)
    with pytest.raises(ConfigError):
        TotalsShape(BANK, (BANK,), 10)
    for n in (0, MAX_ROWS + 1):
        with pytest.raises(DataError):
            TotalsShape(BANK, (TAX,), n)
    with pytest.raises(ValueError, match="total points"):
        next(TotalsLabel(TotalsShape(BANK, (TAX,), 3), np.zeros(4, np.int64)).steps())
