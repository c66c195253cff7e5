"""The role that carries an engine's collectives: what it sends, and what members that send something else come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import parties

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import FedcreditError, PeerError
from fedcredit.estimators.lightgbm_payloads import unknown_payload
from fedcredit.protocols.aggregate import Group, agree
from fedcredit.protocols.collectives import Agreement, Collective, EngineMember, Reply, Scattered, Splits, Summed
from fedcredit.transport.memory import Link, run_network
from fedcredit.wire.collectives import Agreed, BestSplits
from fedcredit.wire.message import MessageInvalid

BINS = (4, 9)


@dataclass
class Script:
    """An engine that asks for these, and keeps the replies."""

    asks: Sequence[Collective | FedcreditError]
    replies: list[Reply | None] = field(default_factory=list)

    def resume(self, reply: Reply | None) -> Collective | None:
        self.replies.append(reply)
        if len(self.replies) > len(self.asks):
            return None
        ask = self.asks[len(self.replies) - 1]
        if isinstance(ask, FedcreditError):
            raise ask
        return ask


def split(feature: int = 1, threshold: int = 3, gain: float = 2.0) -> Splits:
    numbers = np.array([[feature, threshold, 5, 6, 1], [-1, 0, 0, 0, 0]], "<i8")
    return Splits(numbers, np.array([[gain, 0, 0, 1, 1, 1, 1], [0] * 7], "<f8"))


def groups(n: int = 3) -> dict[str, Group]:
    members = parties(n)
    steps = {me: agree(me, members, b"s" * 32, SystemRandomness()) for me in members}
    return run_network(steps, insecure_in_process=True).results


def run(scripts: dict[str, Script], **how: Any) -> Any:
    made = groups(len(scripts))
    roles = {me: EngineMember(made[me], "gbdt/tree.0", BINS, script).steps() for me, script in scripts.items()}
    return run_network(roles, insecure_in_process=True, **how)


def test_sums_blocks_and_splits_reach_whom_they_are_for() -> None:
    words = {me: np.arange(6, dtype=np.uint64) + np.uint64(10**k) for k, me in enumerate(parties(3))}
    shown = {me: split(threshold=k) for k, me in enumerate(words)}
    scripts = {me: Script([Summed(words[me]), Scattered(words[me], (1, 2, 3)), shown[me]]) for me in words}
    outcome = run(scripts)
    total = sum(words.values())
    assert set(outcome.results.values()) == {3}
    for k, script in enumerate(scripts.values()):
        none, summed, block, splits = script.replies
        assert none is None
        assert (summed == total).all()
        assert (block == np.split(total, [1, 3])[k]).all()
        assert [one.numbers[0, 1] for one in splits] == [0, 1, 2]  # type: ignore[union-attr]
    assert {kind for _, _, kind, _ in outcome.traffic} == {"MaskedWords", "SumWords", "BestSplits"}


def test_the_shape_of_traffic_depends_on_no_number() -> None:
    def traffic(value: int, gain: float) -> list[Any]:
        asks = [
            Summed(np.full(4, value, np.uint64)),
            Scattered(np.full(6, value, np.uint64), (2, 2, 2)),
            split(gain=gain),
        ]
        return list(run({me: Script(asks) for me in parties(3)}).traffic)

    assert traffic(0, 1e-9) == traffic(2**63, 1e9)


def test_an_engine_that_fails_has_sent_nothing_of_what_it_failed_at() -> None:
    scripts = {me: Script([unknown_payload("bytes of another kind")]) for me in parties(3)}
    sent = []
    with pytest.raises(FedcreditError, match="ENGINE_PAYLOAD"):
        run(scripts, tamper=lambda link, tag, body: sent.append(body) or (tag, body))
    assert not sent


@pytest.mark.parametrize(
    ("feature", "threshold", "code"), [(2, 0, "SHAPE"), (0, 4, "SHAPE"), (1 << 30, 0, "SHAPE"), (1, 9, "SHAPE")]
)
def test_splits_that_the_model_cannot_have_name_who_sent_them(feature: int, threshold: int, code: str) -> None:
    liar = parties(3)[2]
    scripts = {me: Script([split(feature, threshold) if me == liar else split()]) for me in parties(3)}
    with pytest.raises(PeerError) as caught:
        run(scripts)
    assert (caught.value.culprit, caught.value.code) == (liar, code)


def test_members_that_ask_for_different_things_end() -> None:
    odd = parties(3)[1]
    scripts = {me: Script([split() if me == odd else Summed(np.zeros(3, np.uint64))]) for me in parties(3)}
    with pytest.raises(PeerError) as caught:
        run(scripts)
    assert caught.value.code == "UNEXPECTED_MESSAGE"


def test_no_label_serves_twice() -> None:
    made = groups()
    for k in range(2):
        roles = {
            me: EngineMember(group, "gbdt/tree.0", BINS, Script([Summed(np.zeros(2, np.uint64))])).steps()
            for me, group in made.items()
        }
        if k == 0:
            run_network(roles, insecure_in_process=True)
        else:
            with pytest.raises(FedcreditError, match="LABEL_REUSED"):
                run_network(roles, insecure_in_process=True)


GOOD = split()


@pytest.mark.parametrize(
    ("numbers", "reals"),
    [
        (GOOD.numbers[:1], GOOD.reals),
        (GOOD.numbers[:, :4], GOOD.reals),
        (GOOD.numbers, GOOD.reals[:, :5]),
        (np.where(GOOD.numbers == 1, -2, GOOD.numbers), GOOD.reals),
        (np.where(GOOD.numbers == 3, 1 << 16, GOOD.numbers), GOOD.reals),
        (np.where(GOOD.numbers == 5, -1, GOOD.numbers), GOOD.reals),
        (np.where(GOOD.numbers == 6, 1 << 31, GOOD.numbers), GOOD.reals),
        (GOOD.numbers, np.where(GOOD.reals == 2, np.nan, GOOD.reals)),
        (GOOD.numbers, np.where(GOOD.reals == 2, np.inf, GOOD.reals)),
        (GOOD.numbers, GOOD.reals + 1),
        (GOOD.numbers + np.array([[0], [1]]) * np.array([0, 1, 0, 0, 0]), GOOD.reals),
        (GOOD.numbers.astype("<i4"), GOOD.reals),
    ],
)
def test_what_are_no_splits_is_no_message(numbers: Any, reals: Any) -> None:
    with pytest.raises(MessageInvalid):
        BestSplits(numbers, reals)


def test_splits_survive_the_wire() -> None:
    back = BestSplits.decode(GOOD.message.encode())
    assert (back.numbers == GOOD.numbers).all()
    assert (back.reals == GOOD.reals).all()
    assert Agreed.decode(Agreed(b"d" * 32).encode()).digest == b"d" * 32


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_members_that_have_not_the_same_are_named(odd: int) -> None:
    members = parties(3)
    roles = {
        me: Agreement(me, members, "gbdt/model", bytes([k == odd]) * 32, "MODEL_DIFFERS").steps()
        for k, me in enumerate(members)
    }
    with pytest.raises(PeerError) as caught:
        run_network(roles, insecure_in_process=True, pick=_from(members[odd]))
    assert caught.value.code == "MODEL_DIFFERS"


def _from(sender: str) -> Any:
    def pick(links: Sequence[Link]) -> Link:
        return next((link for link in links if link.sender == sender), links[0])

    return pick


def test_members_that_have_the_same_go_on() -> None:
    members = parties(4)
    roles = {me: Agreement(me, members, "gbdt/model", b"x" * 32, "MODEL_DIFFERS").steps() for me in members}
    outcome = run_network(roles, insecure_in_process=True)
    assert len(outcome.traffic) == 12
