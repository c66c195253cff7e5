"""Private membership: right for any sets, the same to look at whoever is asked about, and nothing without a permit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.oprf import OprfBlind
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.errors import DataError, PeerError
from fedcredit.ids import party_id
from fedcredit.kernels import filter as compact
from fedcredit.kernels import group
from fedcredit.protocols.effects import Steps, recv
from fedcredit.protocols.intersect.alignment import STATISTICAL_BITS
from fedcredit.protocols.intersect.filters import MOST_ASKED, FilterKey, SharedFilter, items_for
from fedcredit.protocols.membership import (
    Asked,
    MembershipAsker,
    MembershipHolder,
    MembershipPermitter,
    elements_of,
    padded_subjects,
    rounded,
)
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.intersect import FilterHeld
from fedcredit.wire.membership import EvaluatedMembers, EvaluateMembers, FilterTerms, PermitGiven, PermitWanted

BANK, TAX, PLATFORM = map(party_id, ("bank", "tax", "platform"))
KEY = FilterKey.generate(BANK, TAX, insecure_seeded(9, "membership"))

Tamper = Callable[[Link, int, bytes], tuple[int, bytes]]


def code(place: int) -> str:
    return f"9132{place:014}"


def made(table: Sequence[int], key: FilterKey = KEY) -> SharedFilter:
    codes = padded_subjects(np.array([code(place).encode() for place in table], "S18"))
    return SharedFilter.of(key.name, 1, key.values(codes, len(codes)))


def permitting(
    holds: Callable[[str], bool] = lambda token: True,
) -> Callable[[PermitWanted], PermitGiven]:
    """A platform whose tokens are the subjects' codes, and whose permit is the elements."""

    def permit(wanted: PermitWanted) -> PermitGiven:
        taken = [holds(token) for token in wanted.tokens()]
        subjects = [token for token, good in zip(wanted.tokens(), taken, strict=True) if good]
        if not subjects:
            return PermitGiven(bytes(taken), b"", "", b"")
        elements = elements_of(wanted, BANK, subjects)
        return PermitGiven(bytes(taken), group_digest(elements), "kid", bytes(64))

    return permit


def group_digest(elements: np.ndarray) -> bytes:
    return elements.tobytes()[:32]


def run(
    asked: Sequence[int],
    table: Sequence[int],
    *,
    permit: Callable[[PermitWanted], PermitGiven] | None = None,
    seed: int = 1,
    tamper: Tamper | None = None,
    entries: int | None = None,
) -> Outcome:
    asker = MembershipAsker(BANK, TAX, PLATFORM, "water_in_use", "financing", insecure_seeded(seed))
    holder, current = MembershipHolder(TAX, BANK), made(table)

    def ask() -> Steps[Asked]:
        terms = yield from asker.terms()
        held = yield from asker.fetch(terms, None)
        return (yield from asker.ask(terms, held, [(code(place), code(place)) for place in asked]))

    def checked(message: EvaluateMembers) -> None:
        assert message.permit == group_digest(message.points), "of just these elements"

    def hold() -> Steps[None]:
        yield from holder.terms("nanjing", rounded(len(table)) if entries is None else entries)
        held = FilterHeld(bytes(16), 0, bytes(32))
        yield from _heard(holder, held, current)
        yield from holder.answer(KEY, checked)

    roles = {
        BANK: ask(),
        TAX: hold(),
        PLATFORM: MembershipPermitter(PLATFORM, BANK).steps(permit or permitting()),
    }
    return run_network(roles, insecure_in_process=True, tamper=tamper)


def _heard(holder: MembershipHolder, held: FilterHeld, current: SharedFilter) -> Steps[None]:
    assert (yield from recv(BANK, FilterHeld)) == held
    yield from holder.lend(held, [(0, 2), (1, 2), (2, 2)], lambda: [current])


places = st.lists(st.integers(0, 60), unique=True, max_size=30)


@settings(max_examples=25, deadline=None)
@given(asked=places.filter(bool), table=places, refused=places)
def test_it_finds_exactly_who_is_there_of_those_who_consented(
    asked: list[int], table: list[int], refused: list[int]
) -> None:
    consents = set(asked) - set(refused)
    if not consents:
        return
    found: Asked = run(asked, table, permit=permitting(lambda token: int(token[4:]) not in refused)).results[BANK]
    assert [place for place, taken in zip(asked, found.taken, strict=True) if taken] == [
        place for place in asked if place in consents
    ]
    assert {place for place, present in zip(asked, found.present, strict=True) if present} == consents & set(table)


def test_without_a_consent_the_holder_is_not_even_asked() -> None:
    asker = MembershipAsker(BANK, TAX, PLATFORM, "water_in_use", "financing", insecure_seeded(1))
    terms, current = FilterTerms("nanjing", rounded(3)), made(range(3))
    roles = {
        BANK: asker.ask(terms, current, [(code(1), code(1))]),
        PLATFORM: MembershipPermitter(PLATFORM, BANK).steps(permitting(lambda token: False)),
    }
    found = run_network(roles, insecure_in_process=True).results[BANK]
    assert (found.taken.tolist(), found.present.tolist()) == ([False], [False])


@settings(max_examples=10, deadline=None)
@given(first=st.integers(100, 10**9), second=st.integers(100, 10**9), seed=st.integers(1, 1000))
def test_two_absent_subjects_look_alike_to_the_holder(first: int, second: int, seed: int) -> None:
    """The same messages of the same sizes; and what differs, the elements, are points that say nothing by themselves:
    with another blind the one subject gives the other's element."""
    views = [_view([place], seed) for place in (first, second)]
    assert [(tag, len(body)) for tag, body in views[0]] == [(tag, len(body)) for tag, body in views[1]]
    differing = [tag for (tag, one), (_, other) in zip(*views, strict=True) if one != other]
    assert set(differing) <= {EvaluateMembers.tag}


def _view(asked: Sequence[int], seed: int) -> list[tuple[int, bytes]]:
    """All that the holder gets."""
    seen: list[tuple[int, bytes]] = []

    def see(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if link.receiver == TAX:
            seen.append((tag, body))
        return tag, body

    run(asked, range(40), seed=seed, tamper=see)
    return seen


def test_elements_of_one_subject_are_not_linked_by_a_fresh_blind() -> None:
    seen = [dict(_view([5], seed))[EvaluateMembers.tag] for seed in (1, 2)]
    points = [EvaluateMembers.decode(body).points for body in seen]
    assert points[0].tobytes() != points[1].tobytes()


def test_the_platform_makes_the_elements_of_consented_subjects_alone() -> None:
    blind = OprfBlind.generate(insecure_seeded(4))
    wanted = PermitWanted("tax", "nanjing", "p", "financing", KEY.name, blind.to_bytes(), b"x")
    subjects = [code(1), code(2)]
    items = items_for(np.array([name.encode() for name in subjects]), KEY.name, BANK, TAX, 2)
    assert (elements_of(wanted, BANK, subjects) == blind.blind(items)).all()
    # For another bank, provider or key they are others: a permit for one is of no use for the other.
    for changed in (
        elements_of(wanted, party_id("rival"), subjects),
        elements_of(dataclasses.replace(wanted, provider="social"), BANK, subjects),
        elements_of(dataclasses.replace(wanted, key=bytes(15) + b"\x01"), BANK, subjects),
    ):
        assert not (changed == blind.blind(items)).all(axis=1).any()
    with pytest.raises(PeerError, match="ID_DUPLICATE"):
        elements_of(wanted, BANK, [code(1), code(1)])
    order = (2**252 + 27742317777372353535851937790883648493).to_bytes(32, "little")
    for no_blind in (bytes(32), b"\xff" * 32, order):
        with pytest.raises(PeerError, match="MESSAGE_INVALID"):
            elements_of(dataclasses.replace(wanted, blind=no_blind), BANK, subjects)


IDENTITY = bytes(32)
NEGATIVE = b"\x01" + bytes(31)
ABOVE = b"\xff" * 32


@pytest.mark.parametrize("bad", [IDENTITY, NEGATIVE, ABOVE], ids=["identity", "negative", "not canonical"])
@pytest.mark.parametrize("kind", [EvaluateMembers, EvaluatedMembers])
def test_points_that_are_none_are_refused_and_the_sender_named(bad: bytes, kind: type) -> None:
    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag != kind.tag:
            return tag, body
        message = kind.decode(body)
        points = message.points.copy()
        points[0] = np.frombuffer(bad, np.uint8)
        changed = {"permit": group_digest(points)} if kind is EvaluateMembers else {}
        return tag, dataclasses.replace(message, points=points, **changed).encode()

    with pytest.raises(PeerError) as refused:
        run([1, 2], [1], tamper=tamper)
    assert refused.value.culprit == (BANK if kind is EvaluateMembers else TAX)


def test_a_subject_twice_is_no_set() -> None:
    with pytest.raises(DataError, match="ID_DUPLICATE"):
        run([1, 1], [1])


def test_another_number_of_elements_or_consents_is_refused() -> None:
    def short(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == EvaluatedMembers.tag:
            return tag, EvaluatedMembers(EvaluatedMembers.decode(body).points[:1].copy()).encode()
        return tag, body

    with pytest.raises(PeerError, match="SET_SIZE"):
        run([1, 2], [1], tamper=short)
    with pytest.raises(PeerError, match="SET_SIZE"):
        run([1, 2], [1], permit=lambda wanted: PermitGiven(b"\x01", b"p", "kid", bytes(64)))
    with pytest.raises(PeerError, match="SET_SIZE"):
        run([1, 2], [1], entries=rounded(10**5))


@pytest.mark.parametrize("n", [0, 1, 1023, 1024, 1025, 16_384, 16_385, 10**5, 10**6, 123_456_789])
def test_a_table_is_said_to_have_a_rounded_number_of_subjects(n: int) -> None:
    assert n <= rounded(n)
    assert rounded(n) == rounded(rounded(n))
    assert rounded(n) - n <= max(1024, n / 16)


def test_padding_is_of_nobody_and_the_same_each_time() -> None:
    codes = np.array([code(place).encode() for place in range(1000)], "S18")
    padded = padded_subjects(codes)
    assert len(padded) == len(set(padded.tolist())) == 1024
    assert (padded[:1000] == codes).all()
    assert all(name.startswith(b"#") for name in padded[1000:].tolist())
    # One subject more takes the place of one of nobody's: nothing else in the filter changes.
    more = padded_subjects(np.append(codes, np.array([b"91320100MA1MTQ0X09"], "S18")))
    assert len(set(padded.tolist()) ^ set(more.tolist())) == 2


def test_a_false_match_is_as_rare_as_said() -> None:
    for n in (1, 10**6, 10**7):
        bits = made([]).label.bits if n == 1 else STATISTICAL_BITS + (MOST_ASKED * rounded(n) - 1).bit_length()
        assert MOST_ASKED * rounded(n if n > 1 else 0) * 2.0**-bits <= 2.0**-40


def test_what_is_evaluated_is_the_function_of_rfc_9497() -> None:
    shared = made([7])
    items = items_for(np.array([code(7).encode(), code(8).encode()]), KEY.name, BANK, TAX, 2)
    blind = OprfBlind.generate(insecure_seeded(3))
    values = blind.finalize(items, group.multiply(blind.blind(items), KEY.oprf.to_bytes()), compact.VALUE_BYTES)
    assert (values == KEY.oprf.evaluate(items, compact.VALUE_BYTES)).all()
    label = shared.label
    assert compact.contains(shared.content, label.entries, label.bits, values).tolist() == [True, False]
