"""Counts and correlations over several banks: those of all rows, and nothing of one bank by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rlwe_stand_in
from mixed.mixed_cases import NORTH, SOUTH, TAX, WATER, WEST, PlainAdding

from fedcredit.credit.bin_params import BinParams
from fedcredit.credit.settling import PrebinShape
from fedcredit.crypto import rlwe
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.binning import PrebinnedColumns
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.mixed import (
    MixedBinningBank,
    MixedBinningDepartment,
    MixedBinningLeader,
    MixedMomentsBank,
    MixedMomentsDepartment,
    MixedMomentsLeader,
    MixedShape,
    PooledMoments,
)
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.binning import RowCounts

BANKS, ROWS = (NORTH, SOUTH, WEST), {NORTH: 300, SOUTH: 180, WEST: 40}
TOTAL = sum(ROWS.values())
ENDS = dict(zip(BANKS, np.cumsum(list(ROWS.values())).tolist(), strict=True))
SLICES = {bank: slice(ENDS[bank] - n, ENDS[bank]) for bank, n in ROWS.items()}
GROUPS = {TAX: (5, 3, 1), WATER: (4,)}
PARAMS = BinParams(iv_disclosure="coarse")


def codes_of(seed: int = 0) -> dict[PartyId, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        p: np.stack([rng.permutation(np.arange(TOTAL) % b) for b in of]).astype(np.uint8) for p, of in GROUPS.items()
    }


def labels_of(seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random(TOTAL) < 0.3).astype(np.uint8)


def count(codes: dict[PartyId, np.ndarray], y: np.ndarray, **network: Any) -> Outcome:
    shapes = {p: tuple(PrebinShape(b, False, 0, "numbers") for b in of) for p, of in GROUPS.items()}
    peers = tuple(GROUPS)

    def leader() -> Steps[Any]:
        adds = PlainAdding(NORTH, BANKS, [])
        role = MixedBinningLeader(
            NORTH, peers, y[SLICES[NORTH]], PARAMS, banks=BANKS, rows=TOTAL, bad=int(y.sum()), to_leader=adds
        )
        found = yield from role.learn_shapes()
        return (yield from role.count(0, found, b"s" * 32, insecure_seeded(1, NORTH)))

    def bank(me: PartyId) -> Steps[Any]:
        role = MixedBinningBank(NORTH, peers, y[SLICES[me]], PlainAdding(me, BANKS, []))
        batches = yield from role.batches()
        yield from role.lend(insecure_seeded(1, me))
        return batches

    def department(me: PartyId) -> Steps[Any]:
        columns = PrebinnedColumns(codes[me], shapes[me])
        role = MixedBinningDepartment(me, NORTH, columns, PARAMS, rows=SLICES)
        yield from role.declare()
        yield from role.lend(0, b"s" * 32, insecure_seeded(1, me))

    roles = {NORTH: leader(), SOUTH: bank(SOUTH), WEST: bank(WEST)} | {p: department(p) for p in peers}
    return run_network(roles, insecure_in_process=True, **network)


def test_counts_are_those_of_all_rows() -> None:
    codes, y = codes_of(), labels_of()
    outcome = count(codes, y)
    assert outcome.results[SOUTH] == 1
    # A column of one pre-bin is not counted.
    due = {TAX: (0, 1), WATER: (0,)}
    for peer, found in zip(GROUPS, outcome.results[NORTH], strict=True):
        assert len(found) == len(due[peer])
        for f, counts in zip(due[peer], found, strict=True):
            of = codes[peer][f]
            assert counts.events.tolist() == np.bincount(of, weights=y, minlength=GROUPS[peer][f]).tolist()
            assert counts.rows.tolist() == np.bincount(of, minlength=GROUPS[peer][f]).tolist()


def test_no_bank_sees_counts_of_its_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leader, too, decrypts numbers that are uniform: the same labels give others each time."""
    decrypted: list[np.ndarray] = []
    decrypt = rlwe.SecretKey.decrypt_inner

    def watched(self: rlwe.SecretKey, c: rlwe.InnerProducts) -> np.ndarray:
        decrypted.append(decrypt(self, c))
        return decrypted[-1]

    monkeypatch.setattr(rlwe.SecretKey, "decrypt_inner", watched)
    codes, y = codes_of(), np.zeros(TOTAL, np.uint8)
    y[SLICES[NORTH]] = labels_of()[SLICES[NORTH]]
    count(codes, y)
    shares = np.concatenate(decrypted) % rlwe.PLAIN_MODULUS / rlwe.PLAIN_MODULUS
    assert (shares > 1e-6).all()
    assert shares.max() > 0.5
    # Two numbers of one department and one of the other, over three banks, of which only one has bad rows.
    assert shares.size == 3 * len(BANKS)


@pytest.mark.parametrize("bad", ["too few rows", "too many rows"])
def test_a_department_that_counts_other_rows_is_named(bad: str) -> None:
    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if link.sender == TAX and tag == RowCounts.tag:
            rows = RowCounts.decode(body).rows.copy()
            rows[0] = rows[0] + TOTAL if bad == "too many rows" else rows[0] - 1
            return tag, RowCounts(0, rows).encode()
        return tag, body

    with pytest.raises(PeerError) as raised:
        count(codes_of(), labels_of(), tamper=tamper)
    assert (raised.value.culprit, raised.value.code) == (TAX, "COUNTS_INVALID")


@pytest.mark.parametrize("widths", [(2, 3, 1), (0, 2, 2), (3, 1, 2), (1, 2, 0)])
def test_correlations_are_those_of_all_rows(widths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rlwe_stand_in.use(monkeypatch)
    rng = np.random.default_rng(5)
    X = (
        rng.normal(size=(TOTAL, sum(widths)))
        + rng.normal(size=(TOTAL, 1))
        + np.repeat([0.0, 1.0, 3.0], [300, 180, 40])[:, None]
    )
    own, *parts = np.split(X, np.cumsum(widths)[:-1], axis=1)
    pooled = PooledMoments(own.mean(axis=0), np.cov(own.T, bias=True).reshape(widths[0], widths[0]))
    if not widths[0]:
        pooled = PooledMoments.none()
    peers = (TAX, WATER)
    roles: dict[PartyId, Steps[Any]] = {}
    for bank in BANKS:
        shape = MixedShape(BANKS, peers, {bank: ROWS[bank]}, TOTAL)
        rows, adds = own[SLICES[bank]], PlainAdding(bank, BANKS, [])
        role = (
            MixedMomentsLeader(shape, rows, pooled, adds)
            if bank == NORTH
            else MixedMomentsBank(shape, bank, rows, pooled, adds)
        )
        roles[bank] = role.steps(insecure_seeded(1, bank))
    for department, of in zip(peers, parts, strict=True):
        shape = MixedShape(BANKS, peers, ROWS, TOTAL)
        roles[department] = MixedMomentsDepartment(shape, department, of).steps(insecure_seeded(1, department))
    found = run_network(roles, insecure_in_process=True).results[NORTH]
    assert tuple(found.columns.values()) == widths
    assert found.correlation == pytest.approx(np.corrcoef(X.T), abs=1e-4)
