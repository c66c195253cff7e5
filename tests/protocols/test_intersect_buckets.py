"""An intersection bucket by bucket: the same rows as in one piece, and sizes that say nothing of a bucket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocols.test_intersect import BANK, HOLDERS, SSID, modes, numbered, parties

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import FedcreditError, RefusedError
from fedcredit.ids import PartyId
from fedcredit.protocols.intersect import IntersectHolder, IntersectReceiver, Lent, Mode, Sieved
from fedcredit.protocols.intersect.alignment import item_digests
from fedcredit.protocols.intersect.buckets import (
    BUCKET_ROWS,
    MAX_BUCKETS,
    bucket_count,
    bucket_size,
    deal,
    fill_up,
)
from fedcredit.runtime.sessions import session_id
from fedcredit.transport.memory import Outcome, run_network

Sets = Mapping[PartyId, Sequence[bytes]]


def rows_of_buckets(items: npt.NDArray[np.uint8], count: int) -> list[npt.NDArray[np.int64]]:
    """The rows of each bucket."""
    rows, edges = deal(items, count)
    return np.split(rows, edges[1:-1])


def in_buckets(sets: Sets, count: int, **options: Any) -> tuple[dict[PartyId, list[bytes]], list[Outcome]]:
    """What each party has at the end, and what travelled in each bucket."""
    roles = parties(sets, **options)
    items = {party: item_digests(role.ids, SSID, 1 << 20) for party, role in roles.items()}
    rows = {party: rows_of_buckets(items[party], count) for party in sets}
    lent: dict[PartyId, list[Lent]] = {party: [] for party in sets if party != BANK}
    found: list[Sieved] = []
    outcomes = []
    for k in range(count):
        steps = {}
        for party, role in roles.items():
            own = fill_up(
                items[party][rows[party][k]], bucket_size(len(items[party]), count), insecure_seeded(k, party)
            )
            steps[party] = replace(role, ssid=session_id(SSID, 0, f"align/bucket.{k}")).sieve(own)
        outcomes.append(run_network(steps, insecure_in_process=True))
        sieved: Sieved = outcomes[-1].results[BANK]
        places = sieved.places + sum(part.listed for part in found)
        found.append(Sieved(rows[BANK][k][sieved.rows], sieved.tag_seeds, places, sieved.listed))
        for party, parts in lent.items():
            parts.append(of_the_whole(outcomes[-1].results[party], rows[party][k], len(items[party])))
    holders = [party for party in sets if party != BANK]
    whole = Sieved(
        np.concatenate([part.rows for part in found]),
        {h: np.concatenate([part.tag_seeds[h] for part in found]) for h in holders} if found[0].tag_seeds else {},
        np.concatenate([part.places for part in found]),
        sum(part.listed for part in found),
    )
    last: dict[PartyId, Any] = {}
    for party, role in roles.items():
        if isinstance(role, IntersectReceiver):
            last[party] = role.release(whole)
        else:
            assert isinstance(role, IntersectHolder)
            last[party] = role.release(
                Lent(
                    np.bitwise_or.reduce([part.tag_seeds for part in lent[party]]),
                    np.concatenate([part.order for part in lent[party]]),
                )
            )
    released = run_network(last, insecure_in_process=True)
    named = {p: [sets[p][row] for row in r.rows] for p, r in released.results.items() if r is not None}
    return named, outcomes


def of_the_whole(bucket: Lent, rows: np.ndarray, n: int) -> Lent:  # type: ignore[type-arg]
    """What a bucket leaves, in terms of the party's rows. Items behind its `rows` filled it up."""
    if len(bucket.order):
        numbers = np.concatenate([rows, np.full(len(bucket.order) - len(rows), -1)])
        return Lent(order=numbers[bucket.order])
    seeds = np.zeros((n, 16), np.uint8)
    seeds[rows] = bucket.tag_seeds[: len(rows)]
    return Lent(seeds)


@modes
@settings(max_examples=10)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=4),
    count=st.integers(1, 5),
    shift=st.integers(0, 40),
)
def test_all_parties_learn_the_intersection_of_all_buckets_in_one_order(
    mode: Mode, sizes: list[int], count: int, shift: int
) -> None:
    names = (BANK, *HOLDERS[: len(sizes) - 1])
    sets = {
        name: numbered(range(k * shift, k * shift + n)) for k, (name, n) in enumerate(zip(names, sizes, strict=True))
    }
    named, _ = in_buckets(sets, count, minimum=0, mode=mode)
    assert all(order == named[BANK] for order in named.values())
    assert set(named[BANK]) == set.intersection(*map(set, sets.values()))


@modes
def test_every_bucket_looks_the_same_whatever_is_in_it(mode: Mode) -> None:
    tax = HOLDERS[0]
    one = {BANK: numbered(range(400)), tax: numbered(range(300, 700))}
    other = {BANK: numbered(range(5_000, 5_400)), tax: numbered(range(400))}
    shapes = {
        tuple(sorted(outcome.traffic))
        for sets in (one, other)
        for outcome in in_buckets(sets, 4, minimum=0, mode=mode)[1]
    }
    assert len(shapes) == 1


@modes
def test_the_minimum_is_of_the_whole_and_not_of_a_bucket(mode: Mode) -> None:
    sets = {BANK: numbered(range(50)), HOLDERS[0]: numbered(range(45, 90))}
    assert len(in_buckets(sets, 5, minimum=5, mode=mode)[0][BANK]) == 5
    with pytest.raises(RefusedError) as refusal:
        in_buckets(sets, 5, minimum=6, mode=mode)
    assert refusal.value.code == "INTERSECTION_TOO_SMALL"


@modes
def test_receiver_only_works_in_buckets_too(mode: Mode) -> None:
    sets = {BANK: numbered(range(60)), HOLDERS[0]: numbered(range(30, 90))}
    named, _ = in_buckets(sets, 3, minimum=0, both_learn=False, mode=mode)
    assert set(named) == {BANK}
    assert set(named[BANK]) == set(numbered(range(30, 60)))


def test_buckets_part_the_rows_and_fit_their_size() -> None:
    rng = np.random.default_rng(5)
    for n, count in ((1, 2), (10, 7), (100_000, 13), (300_000, 3)):
        items = rng.integers(0, 256, (n, 16)).astype(np.uint8)
        rows = rows_of_buckets(items, count)
        assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
        assert max(map(len, rows)) <= bucket_size(n, count)


def test_the_number_of_buckets_follows_from_what_was_declared() -> None:
    for mode, rows in BUCKET_ROWS.items():
        assert bucket_count([10, rows], mode) == 1
        assert bucket_count([rows + 1, 5], mode) == 2
        assert bucket_count([1 << 40], mode) == MAX_BUCKETS
    assert bucket_size(1_000, 1) == 1_000, "one bucket is the set itself"
    # What filling up costs at ten million rows, and that the bound means what it says.
    n, count = 10_000_000, bucket_count([10_000_000], "ecdh")
    t = bucket_size(n, count) - n / count
    assert t < 0.03 * n / count
    assert count * math.exp(-(t**2) / (2 * n / count + 2 * t / 3)) <= 2**-40


def test_a_bucket_that_does_not_fit_is_an_error_and_not_a_longer_bucket() -> None:
    with pytest.raises(FedcreditError):
        fill_up(np.zeros((5, 16), np.uint8), 4, insecure_seeded(1))
