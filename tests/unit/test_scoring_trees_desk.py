"""Scores of trees from desk to desk: those of the trees in the clear, over the one map that a bank has shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_town import run
from score_town import BANK, SOCIAL, TAX
from score_trees_town import MANIFEST, TreesTown

from fedcredit.errors import ConfigError, FedcreditError, PeerError, PeerLost, RefusedError
from fedcredit.node.scoring.asking_trees import leaf_map
from fedcredit.node.scoring.client import NotScored, Score, Wanted
from fedcredit.node.scoring.lent_trees import LentTrees
from fedcredit.wire.score_trees import TreesKey, TreesMap
from fedcredit.wire.scoring import ScoreMeeting, pack, unpack


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TreesTown]:
    made = TreesTown(tmp_path_factory.mktemp("town"))
    yield made
    made.close()


def wanted(town: TreesTown, *rows: int, **change: Any) -> list[Wanted]:
    return town.wanted(*rows, models=("trees",), **change)


def score(town: TreesTown, asked: Sequence[Wanted], **how: Any) -> list[Score | NotScored]:
    town.tick()

    async def work() -> list[Score | NotScored]:
        async with town.client(town.own_version(), **how) as client:
            return await client.score(asked, town.tables_own)

    return run(work())


def lent(town: TreesTown, change: Any) -> Any:
    """What a bank shows a department, changed on its way."""

    def sent(provider: str, method: str, data: bytes) -> bytes:
        if method != "Meet" or provider != TAX or not ScoreMeeting.decode(data).lent:
            return data
        meeting = ScoreMeeting.decode(data)
        shown = unpack(meeting.lent, frozenset({TreesKey, TreesMap}))
        made = ScoreMeeting(meeting.model, meeting.version, meeting.purpose, meeting.words, pack(change(shown)))
        return made.encode()

    return sent


def test_scores_are_those_of_the_trees_in_the_clear(town: TreesTown) -> None:
    found = score(town, wanted(town, *range(20)))
    told = np.array([one.probability for one in found if isinstance(one, Score)])
    assert np.abs(told - town.in_the_clear()[:20]).max() < 1e-6
    assert len({one.band for one in found if isinstance(one, Score)}) > 1


def test_a_subject_without_consent_for_these_trees_has_none(town: TreesTown) -> None:
    found = score(town, [*town.wanted(30), *wanted(town, 31)])
    assert (found[0], isinstance(found[1], Score)) == ("refused", True)
    assert town.kept(TAX)[-2].why == "consent_scope"


def test_without_a_party_whose_splits_they_have_there_is_none(town: TreesTown) -> None:
    town.down = {SOCIAL}
    try:
        with pytest.raises(PeerLost, match="social_insurance"):
            score(town, wanted(town, 32), without=["social_insurance"])
    finally:
        town.down = set()


def test_another_map_than_before_is_refused_and_so_is_one_of_others_splits(town: TreesTown) -> None:
    score(town, wanted(town, 33))
    before = len(town.kept(TAX))

    def turned(shown: list[Any]) -> list[Any]:
        key, one = shown
        return [key, TreesMap(one.model, one.counts, one.splits, 1 - one.left)]

    def beyond(shown: list[Any]) -> list[Any]:
        key, one = shown
        return [key, TreesMap(one.model, one.counts, one.splits + 1000, one.left)]

    for change in (turned, beyond):
        town.sent = lent(town, change)
        try:
            with pytest.raises(RefusedError, match="SCORE_MAP"):
                score(town, wanted(town, 34))
        finally:
            town.sent = lambda provider, method, data: data
    assert len(town.kept(TAX)) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: shown[:1],
        lambda shown: shown[1:],
        lambda shown: [shown[0], *shown],
        lambda shown: [shown[0], TreesMap(bytes(32), shown[1].counts, shown[1].splits, shown[1].left)],
    ],
)
def test_what_is_no_key_with_a_map_of_this_version_is_refused(town: TreesTown, change: Any) -> None:
    town.sent = lent(town, change)
    try:
        with pytest.raises(PeerError, match="MESSAGE_INVALID"):
            score(town, wanted(town, 35))
    finally:
        town.sent = lambda provider, method, data: data


def test_a_department_that_was_started_again_is_met_again(town: TreesTown) -> None:
    async def work() -> list[Score | NotScored]:
        async with town.client(town.own_version()) as client:
            await client.score(wanted(town, 36), town.tables_own)
            town.desks[TAX].lent = LentTrees(town.models.parties[TAX].folder)
            return await client.score(wanted(town, 37), town.tables_own)

    (found,) = run(work())
    assert isinstance(found, Score)
    assert abs(found.probability - town.in_the_clear()[37]) < 1e-6


def test_two_sessions_of_a_bank_do_not_end_each_other(town: TreesTown) -> None:
    async def work() -> list[NotScored | Score]:
        found: list[NotScored | Score] = []
        async with town.client(town.own_version()) as first, town.client(town.own_version()) as second:
            meetings = town.calls.count((TAX, "Meet"))
            for row, client in ((39, first), (40, second), (41, first)):
                found += await client.score(wanted(town, row), town.tables_own)
            assert town.calls.count((TAX, "Meet")) == meetings
        return found

    assert all(isinstance(one, Score) for one in run(work()))


def test_the_order_of_slots_is_the_banks_secret_and_the_same_in_every_session(town: TreesTown, tmp_path: Path) -> None:
    folder = town.models.parties[BANK].folder
    once, again = (leaf_map(folder, town.label, MANIFEST) for _ in range(2))
    other = leaf_map(tmp_path, town.label, MANIFEST)
    same = [np.array_equal(a.bit, b.bit) for a, b in zip(once.conditions, again.conditions, strict=True)]
    assert same == [True, True]
    assert not all(
        np.array_equal(a.first, b.first) and np.array_equal(a.bit, b.bit)
        for a, b in zip(once.conditions, other.conditions, strict=True)
    )
    (folder / "keys" / "leaf-order.key").chmod(0o644)
    try:
        with pytest.raises(ConfigError, match="SECRET_INVALID"):
            leaf_map(folder, town.label, MANIFEST)
    finally:
        (folder / "keys" / "leaf-order.key").chmod(0o600)


def test_a_file_of_a_map_that_was_changed_lets_nobody_score(town: TreesTown) -> None:
    (path,) = (town.models.parties[TAX].folder / "models").glob("*.map")
    kept = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(b"0" * 64 + b"\n")
    try:
        with pytest.raises(FedcreditError, match="SCORE_MAP"):
            score(town, wanted(town, 38))
    finally:
        path.write_bytes(kept)
