"""Scores in bands: the band of the sum in the clear, in any order; nothing else that a bank sees; lies are refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.elgamal import PrivateKey, Validity
from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.lookup import MAX_CELLS, OUTSIDE, Choice, Lookup
from fedcredit.crypto.randomness import Randomness, insecure_seeded
from fedcredit.crypto.zero_sum import Member, PairKey, ZeroSum
from fedcredit.errors import ConfigError, PeerError, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import (
    NO_BAND,
    BandedCard,
    BandsProvider,
    BandsRequester,
    BandTerms,
    ScoreAnswered,
    ScoreCard,
    ScoresAsked,
    ScoresBanded,
    ScoreTerms,
    bands_requester,
)
from fedcredit.protocols.score.bands import points_masks
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.message import Message, MessageInvalid, message_type
from fedcredit.wire.score import ScoreRequest
from fedcredit.wire.score_bands import MAX_TABLE_BYTES, BandChoices, BandPart, BandTables, ScoreBands

Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Tamper = Callable[[Link, int, bytes], tuple[int, bytes]]

BANK = party_id("bank")
NAMES = tuple(map(party_id, ("tax", "social", "water", "power", "customs")))
NOW = 1_800_000_000
MODEL = b"m" * 32
KEY = PrivateKey.generate("bank", "scores", Validity(NOW - 10, NOW + 10), insecure_seeded(1)).public
PAIRS = {name: PairKey.generate(insecure_seeded(2, name)) for name in (BANK, *NAMES)}
LOW, HIGH = -50, 50
"""Of each provider's part."""
EDGES = (450, 500, 550, 600)


def codes(n: int) -> U8:
    return np.array([f"9132{i:014}".encode() for i in range(n)], "S18").view(np.uint8).reshape(n, 18)


def card_of(k: int) -> ScoreCard:
    return ScoreCard(MODEL, 400 + k * LOW, 700 + k * HIGH, 400, 700)


def terms_of(**changes: Any) -> ScoreTerms:
    fields: dict[str, Any] = {
        "model": MODEL,
        "points": (LOW, HIGH),
        "bank_keys": {KEY.fingerprint: KEY},
        "pair_keys": {name: frozenset({pair.public}) for name, pair in PAIRS.items()},
    }
    return ScoreTerms(**fields | changes)


@dataclasses.dataclass
class Setting:
    """Points of the bank and of each provider, and which rows each releases."""

    own: I64
    parts: list[I64]
    released: list[Bools]
    seed: int = 1
    edges: tuple[int, ...] = EDGES
    card: ScoreCard | None = None
    fresh: Callable[[ScoreRequest], bool] = lambda request: True
    terms: ScoreTerms = dataclasses.field(default_factory=terms_of)
    bands: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def names(self) -> tuple[PartyId, ...]:
        return NAMES[: len(self.parts)]

    @property
    def banded(self) -> BandedCard:
        return BandedCard.of(self.card or card_of(len(self.parts)), self.edges)

    @property
    def everybody(self) -> Bools:
        everybody: Bools = np.all(self.released, axis=0)
        return everybody

    @property
    def expected(self) -> I64:
        """By the definition, in the clear."""
        totals = self.own + np.sum(self.parts, axis=0)
        return np.where(self.everybody, np.searchsorted(self.edges, totals, side="right"), NO_BAND)

    def requester(self) -> Steps[ScoresBanded]:
        n = len(self.own)
        consents = np.stack([np.full((n, 32), place, np.uint8) for place in range(len(self.parts))])
        asked = ScoresAsked("financing", NOW, codes(n), consents, self.own)
        members = tuple(Member(name, PAIRS[name].public) for name in self.names)
        role = BandsRequester(BANK, self.banded, members, KEY, PAIRS[BANK])
        return role.steps(asked, insecure_seeded(self.seed, "bank"))

    def provider(self, place: int) -> Steps[ScoreAnswered]:
        name, card = self.names[place], self.card or card_of(len(self.parts))

        def answer(request: ScoreRequest, of: U8, consents: U8) -> tuple[I64, Bools]:
            assert (of == codes(len(self.own))).all()
            assert (consents == place).all()
            return self.parts[place], self.released[place]

        terms = BandTerms(**{"totals": (card.low, card.high)} | self.bands)
        role = BandsProvider(name, BANK, self.terms, terms, {PAIRS[name].public: PAIRS[name]})
        return role.steps(self.fresh, answer, insecure_seeded(self.seed, name))

    def run(self, **network: Any) -> Outcome:
        roles: dict[PartyId, Steps[Any]] = {name: self.provider(place) for place, name in enumerate(self.names)}
        roles[BANK] = self.requester()
        return run_network(roles, insecure_in_process=True, **network)


def setting(k: int = 3, n: int = 6, seed: int = 1, refused: float = 0.0, **changes: Any) -> Setting:
    random = np.random.default_rng(seed)
    parts = list(random.integers(LOW, HIGH + 1, (k, n)))
    released = [random.random(n) >= refused for _ in range(k)]
    return Setting(random.integers(400, 701, n), parts, released, seed, **changes)


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(2, 5),
    n=st.integers(1, 40),
    seed=st.integers(0, 999),
    refused=st.sampled_from([0, 0.2]),
    edges=st.sets(st.integers(31, 59), min_size=1, max_size=19),
    data=st.data(),
)
def test_bands_are_those_of_the_sums_in_the_clear_in_any_order_of_delivery(
    k: int, n: int, seed: int, refused: float, edges: set[int], data: st.DataObject
) -> None:
    made = setting(k, n, seed, refused, edges=tuple(10 * edge + seed % 10 for edge in sorted(edges)))
    outcome = made.run(pick=lambda links: data.draw(st.sampled_from(links)))
    banded: ScoresBanded = outcome.results[BANK]
    assert (banded.scored == made.everybody).all()
    assert (banded.bands == made.expected).all()
    for place, name in enumerate(made.names):
        assert outcome.results[name] == ScoreAnswered(banded.request, n, int(made.released[place].sum()))


def test_every_total_of_a_card_has_its_band() -> None:
    """The ends of the range, and both sides of every edge."""
    card = ScoreCard(MODEL, 400, 700, 400, 600)
    totals = np.arange(400, 701)
    made = Setting(np.minimum(totals, 600), [np.maximum(totals - 600, 0), np.zeros(301, np.int64)], [], card=card)
    made.released = [np.ones(301, np.bool_)] * 2
    made.terms = terms_of(points=(0, 100))
    assert (made.run().results[BANK].bands == np.searchsorted(EDGES, totals, side="right")).all()


@pytest.mark.parametrize("width", [1, 2, 3, MAX_CELLS - 1])
def test_cards_of_two_totals_and_of_65536_have_bands(width: int) -> None:
    card = ScoreCard(MODEL, 0, width, 0, 0)
    top = np.array([0, width, width // 2])
    zero = np.zeros(3, np.int64)
    made = Setting(zero, [top, zero], [np.ones(3, np.bool_)] * 2, edges=(max(width // 2, 1),), card=card)
    made.terms, made.bands = terms_of(points=(0, width)), {"min_points": 1}
    assert (made.run().results[BANK].bands == made.expected).all()


def test_a_request_of_several_messages_is_one_request() -> None:
    n = MAX_TABLE_BYTES // 1024 + 3
    made = setting(2, n, refused=0.1)
    outcome = made.run()
    assert (outcome.results[BANK].bands == made.expected).all()
    sizes = [size for _, _, kind, size in outcome.traffic if kind == "BandTables"]
    assert len(sizes) == 2
    assert max(sizes) < 1.1 * MAX_TABLE_BYTES


def test_one_provider_alone_answers_where_its_terms_say_so_and_shows_a_band() -> None:
    made = setting(1, 40)
    with pytest.raises(RefusedError, match="SCORE_PROVIDERS"):
        made.run()
    allowed = dataclasses.replace(made, terms=terms_of(min_providers=1))
    assert (allowed.run().results[BANK].bands == made.expected).all()


def heard(made: Setting) -> list[Message]:
    """What the bank gets, in order."""
    got: list[Message] = []

    def hear(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if link.receiver == BANK:
            got.append(message_type(tag).decode(body))
        return tag, body

    made.run(tamper=hear)
    return got


def test_all_that_a_bank_gets_is_the_same_to_the_byte_for_totals_of_one_band_but_for_what_it_cannot_open() -> None:
    """Words are uniform without the last provider's mask; its points and tables of another total of the same band
    differ in cells under pads that the bank cannot make, and in no other."""
    n, k = 60, 3
    made = setting(k, n, seed=4)
    made.own = np.full(n, 520)
    made.parts = [np.full(n, 1), np.full(n, 2), np.arange(n) % 20]
    assert set(made.expected.tolist()) == {2}
    other = dataclasses.replace(made, parts=[*made.parts[:2], 19 - made.parts[2]])
    tables = []
    for one, two in zip(heard(made), heard(other), strict=True):
        if isinstance(one, BandTables) and isinstance(two, BandTables):
            assert (one.point, one.marks.tolist()) == (two.point, two.marks.tolist())
            tables.append(one.tables ^ two.tables)
        else:
            assert one.encode() == two.encode()
    changed = np.concatenate(tables) != 0
    assert changed.any(axis=1).all(), "tables are of another total"
    assert changed.mean() < 0.2, "and of the same bands"


def test_what_a_bank_gets_of_one_row_says_nothing_of_its_total_but_the_band() -> None:
    """Over many runs, words and cells other than the one that is read are uniform, at either end of a band."""
    for total in (500, 549):
        n = 400
        made = Setting(np.full(n, 480), [np.full(n, total - 500), np.full(n, 20)], [np.ones(n, np.bool_)] * 2)
        got = heard(made)
        words = np.concatenate([part.words for part in got if isinstance(part, BandPart)])
        assert len(set(words.tolist())) == n
        assert abs(float((words & np.uint64(1023)).mean()) - 511.5) < 60
        tables = np.concatenate([part.tables for part in got if isinstance(part, BandTables)])
        counts = np.bincount(tables.ravel(), minlength=256)
        assert np.abs(counts / counts.mean() - 1).max() < 0.15
        assert np.abs(tables.mean(axis=0) - 127.5).max() < 20, "no place of a table stands out"


def test_masks_of_points_and_of_marks_are_two_streams() -> None:
    members = tuple(Member(name, PAIRS[name].public) for name in NAMES[:2])
    zeros = np.zeros(4, np.uint64)
    points = points_masks(members, 0, PAIRS[NAMES[0]], MODEL).words(zeros, 0)
    marks = ZeroSum(members, 0, PAIRS[NAMES[0]], MODEL).words(zeros, 0)
    assert (points != marks).all()


def test_what_is_sent_does_not_depend_on_points_or_refusals_but_in_content() -> None:
    outcomes = [setting(3, 50, seed=5, refused=refused).run().traffic for refused in (0.0, 0.5, 1.0)]
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("place", [0, 2], ids=["one of the first", "the last"])
def test_a_refused_row_shows_no_band_to_a_bank_that_does_not_look_at_marks(place: int) -> None:
    """Its cells are of random totals: many bands, whatever the row's points are."""
    n = 300
    made = setting(3, n, seed=6)
    made.own, made.parts = np.full(n, 520), [np.zeros(n, np.int64)] * 3
    made.released[place] = np.zeros(n, np.bool_)
    assert (made.run().results[BANK].bands == NO_BAND).all()
    cells = cells_of(made)
    seen, counts = np.unique(cells, return_counts=True)
    # 601 totals of 1,024 cells; bands of 200, 50, 50, 50, 251 totals.
    assert set(seen.tolist()) == {0, 1, 2, 3, 4, 255}
    assert counts[seen == 2][0] < 40


def cells_of(made: Setting, refused: bool = False) -> U8:
    """What a bank reads that does not look at marks."""
    found: list[U8] = []
    real = bands_requester._read

    def noted(*of: Any) -> U8:
        found.append(real(*of))
        return found[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bands_requester, "_read", noted)
        if refused:
            patch.setattr(BandsRequester, "_check", lambda *_: None)
        made.run()
    return np.concatenate(found)


def test_a_bank_that_looks_up_what_it_likes_learns_the_band_of_that_number_more_and_of_no_other() -> None:
    """What a bank can do at its worst: look up any place of a table. It is the band of the total and a number."""
    n = 300
    made = setting(2, n, seed=7)
    extra = np.random.default_rng(1).integers(0, 1024, n)
    real = Lookup.choose

    def moved(lookup: Lookup, indices: npt.NDArray[np.uint32], first: int, randomness: Randomness) -> Choice:
        return real(lookup, ((indices + extra) % lookup.cells).astype(np.uint32), first, randomness)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lookup, "choose", moved)
        cells = cells_of(made, refused=True)
    low, high = made.banded.card.low, made.banded.card.high
    numbers = low + (made.own + np.sum(made.parts, axis=0) - low + extra) % 1024
    assert (cells == np.where(numbers > high, OUTSIDE, np.searchsorted(EDGES, numbers, side="right"))).all()


def changing(kind: type[Message], change: Callable[[Any], Any], *, who: PartyId | None = None) -> Tamper:
    """Messages of `kind`, those that `who` sends or gets, as `change` leaves them."""

    def tamper(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == kind.tag and (who is None or who in link):
            return tag, change(kind.decode(body)).encode()
        return tag, body

    return tamper


def edited(field: str, edit: Callable[[Any], None]) -> Callable[[Any], Any]:
    def change(message: Any) -> Any:
        array = getattr(message, field).copy()
        edit(array)
        return dataclasses.replace(message, **{field: array})

    return change


def identity(points: Any) -> None:
    points[2, :32] = 0


def garbage(array: Any) -> None:
    array[:] = np.random.default_rng(3).integers(0, 255, array.shape)


def fewer(message: Any) -> Any:
    rows = {
        name: getattr(message, name)[:-1] for name in ("points", "words", "tables", "marks") if hasattr(message, name)
    }
    return dataclasses.replace(message, **rows)


def elsewhere(message: Any) -> Any:
    return dataclasses.replace(message, first=1)


def another(message: Any) -> Any:
    return dataclasses.replace(message, request=bytes(32))


FIRST, LAST = NAMES[0], NAMES[2]
BAD_MESSAGES: list[tuple[str, type[Message], Callable[[Any], Any], str, str]] = [
    ("part of another request", BandPart, another, "SCORE_OTHER_REQUEST", FIRST),
    ("part of too few rows", BandPart, fewer, "SHAPE", FIRST),
    ("part of other rows", BandPart, elsewhere, "SHAPE", FIRST),
    ("choices for another request", BandChoices, another, "SCORE_OTHER_REQUEST", BANK),
    ("choices of too few rows", BandChoices, fewer, "SHAPE", BANK),
    ("choices of other rows", BandChoices, elsewhere, "SHAPE", BANK),
    ("choices with the identity", BandChoices, edited("points", identity), "POINT_INVALID", BANK),
    ("choices that are no points", BandChoices, edited("points", garbage), "POINT_INVALID", BANK),
    ("tables for another request", BandTables, another, "SCORE_OTHER_REQUEST", LAST),
    ("tables of too few rows", BandTables, fewer, "SHAPE", LAST),
    ("tables of other rows", BandTables, elsewhere, "SHAPE", LAST),
    ("tables with no point", BandTables, lambda m: dataclasses.replace(m, point=bytes(32)), "POINT_INVALID", LAST),
    (
        "tables of another size",
        BandTables,
        lambda m: dataclasses.replace(m, tables=m.tables[:, :256].copy()),
        "SHAPE",
        LAST,
    ),
]


@pytest.mark.parametrize(
    ("kind", "change", "code", "culprit"), [case[1:] for case in BAD_MESSAGES], ids=[case[0] for case in BAD_MESSAGES]
)
def test_a_message_that_is_none_is_refused_and_its_sender_named(
    kind: type[Message], change: Callable[[Any], Any], code: str, culprit: str
) -> None:
    who = culprit if culprit != BANK else LAST
    with pytest.raises(PeerError) as refused:
        setting().run(tamper=changing(kind, change, who=party_id(who)))
    assert (refused.value.code, refused.value.culprit) == (code, culprit)


def test_tables_that_are_garbage_end_the_request_and_name_their_maker() -> None:
    made = setting(n=200)
    with pytest.raises(PeerError) as refused:
        made.run(tamper=changing(BandTables, edited("tables", garbage)))
    assert refused.value.code in {"SCORE_TABLE", "SCORE_OUT_OF_RANGE"}
    assert LAST in refused.value.culprit


def test_words_that_are_garbage_are_totals_out_of_range_which_nobody_alone_is_blamed_for() -> None:
    with pytest.raises(PeerError, match="SCORE_OUT_OF_RANGE") as refused:
        setting(n=40).run(tamper=changing(BandPart, edited("words", garbage), who=FIRST))
    assert refused.value.culprit == "tax, social, water"


def test_points_of_another_base_and_words_of_another_request_find_nothing() -> None:
    """A bank that shows providers two requests: masks differ in all, so what it reads is of no total."""

    def rebound(message: Any) -> Any:
        return dataclasses.replace(message, purpose="other")

    made = setting(n=40)
    with pytest.raises(PeerError, match="SCORE_OTHER_REQUEST"):
        made.run(tamper=changing(ScoreRequest, rebound, who=FIRST))


@pytest.mark.parametrize(("high", "gap"), [(1018, False), (1013, True)])
def test_what_is_past_the_range_is_as_wide_as_a_band_or_part_of_the_last(high: int, gap: bool) -> None:
    """A bank that goes past the range would else ask in which of a few totals a sum is."""
    card = ScoreCard(MODEL, 0, high, 0, 1000)
    n = 1024 - high - 1
    made = Setting(np.full(n, 1000), [np.arange(n) + high + 1 - 1000, np.zeros(n, np.int64)], [], card=card)
    made.edges, made.released, made.terms = (10, 500), [np.ones(n, np.bool_)] * 2, terms_of(points=(0, 100))
    if gap:
        with pytest.raises(PeerError, match="SCORE_OUT_OF_RANGE"):
            made.run()
    assert (cells_of(made, gap) == (255 if gap else 2)).all()


@pytest.mark.parametrize(
    ("edges", "terms", "what"),
    [
        ((450, 459), {}, "less than 10 points"),
        ((259,), {}, "less than 10 points"),
        ((842,), {}, "less than 10 points"),
        ((400, 500, 600), {"max_bands": 3}, "more than 3"),
        ((450,), {"totals": (250, 851)}, "another range"),
        ((450,), {"totals": (249, 850)}, "another range"),
    ],
)
def test_bands_that_are_too_fine_or_of_another_range_are_refused(
    edges: tuple[int, ...], terms: dict[str, Any], what: str
) -> None:
    with pytest.raises(RefusedError, match=what) as refused:
        setting(3, edges=edges, bands=terms).run()
    assert {problem.code for problem in refused.value.problems} == {"SCORE_BANDS"}


def test_bands_at_the_limits_are_answered() -> None:
    made = setting(3, edges=tuple(range(260, 450, 10)))
    assert made.banded.n_bands == 20
    assert (made.run().results[BANK].bands == made.expected).all()


def test_providers_that_are_shown_other_bands_are_of_no_use_to_each_other() -> None:
    finer = changing(ScoreBands, lambda m: ScoreBands(np.array([250, 300, 851])), who=FIRST)
    with pytest.raises(PeerError, match="SCORE_OTHER_REQUEST"):
        setting().run(tamper=finer)


def test_a_request_is_answered_once_and_an_own_key_is_needed() -> None:
    nonces: set[bytes] = set()

    def fresh(request: ScoreRequest) -> bool:
        seen = request.nonce in nonces
        nonces.add(request.nonce)
        return not seen

    made = setting(1, terms=terms_of(min_providers=1), fresh=fresh)
    made.run()
    with pytest.raises(RefusedError, match="SCORE_REPLAYED"):
        made.run()
    low = dict(terms_of().pair_keys) | {NAMES[1]: frozenset({bytes(32)})}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PAIRS, NAMES[1], PairKey(bytes(32), b"", PAIRS[NAMES[1]]._key))
        with pytest.raises(BadKey):
            setting(terms=terms_of(pair_keys=low)).run()


@pytest.mark.parametrize("edges", [(), (250,), (851,), (500, 500), (600, 500), tuple(range(260, 460, 10))])
def test_bands_that_are_none_are_refused_before_anybody_is_asked(edges: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="SCORE_BANDS"):
        BandedCard.of(card_of(3), edges)
    with pytest.raises(ConfigError, match="another range"):
        BandedCard(card_of(3), (0, 500, 600))


@pytest.mark.parametrize(
    "changes", [{"totals": (1, 1)}, {"min_points": 0}, {"max_bands": 1}, {"max_bands": 21}], ids=lambda c: next(iter(c))
)
def test_terms_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="CONFIG_VALUE"):
        BandTerms(**{"totals": (0, 100)} | changes)


@pytest.mark.parametrize(
    "bounds", [[1, 2], [1, 1, 2], [3, 2, 1], [0, 1, MAX_CELLS + 1], [-(2**63), 0, 2**63 - 1], list(range(22))]
)
def test_bounds_that_are_no_bands_are_no_message(bounds: list[int]) -> None:
    with pytest.raises(MessageInvalid):
        ScoreBands(np.array(bounds, np.int64))


@pytest.mark.parametrize("shape", [(0, 4), (2, 4), (1, 2), (1, 8), (1, 5), (1, 0)])
def test_tables_of_no_shape_are_no_message(shape: tuple[int, int]) -> None:
    with pytest.raises(MessageInvalid):
        BandTables(bytes(32), 0, bytes(32), np.zeros(shape, np.uint8), np.zeros(1, np.uint64))


def test_secrets_are_in_no_text() -> None:
    made = setting()
    for message in heard(made):
        assert "array" not in repr(message)
    assert "array" not in repr(made.run().results[BANK])
