"""Encrypted scores: equal to the sum in the clear, in any order; nothing of a part alone; and every lie is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.elgamal import PrivateKey, PublicKey, Validity
from fedcredit.crypto.elgamal_checks import BadKey, BadRange
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.zero_sum import Member, PairKey
from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, RefusedError
from fedcredit.ids import PartyId, party_id
from fedcredit.kernels import elgamal
from fedcredit.protocols.effects import Steps
from fedcredit.protocols.score import (
    ScoreAnswered,
    ScoreCard,
    ScoreProvider,
    ScoreRequester,
    Scores,
    ScoresAsked,
    ScoreTerms,
    request_hash,
)
from fedcredit.transport.memory import Link, Outcome, run_network
from fedcredit.wire.message import Message, MessageInvalid
from fedcredit.wire.score import CHUNK_ROWS, MAX_PROVIDERS, MAX_SUBJECTS, ScorePart, ScoreRequest, ScoreSubjects

Bools = npt.NDArray[np.bool_]
I64 = npt.NDArray[np.int64]
Tamper = Callable[[Link, int, bytes], tuple[int, bytes]]

BANK = party_id("bank")
NAMES = tuple(map(party_id, ("tax", "social", "water", "power", "customs")))
NOW = 1_800_000_000
MODEL = b"m" * 32
KEY = PrivateKey.generate("bank", "scores", Validity(NOW - 10, NOW + 10), insecure_seeded(1))
PAIRS = {name: PairKey.generate(insecure_seeded(2, name)) for name in (BANK, *NAMES)}
LOW, HIGH = -50, 50
"""Of each provider's part."""


def codes(n: int) -> npt.NDArray[np.uint8]:
    return np.array([f"9132{i:014}".encode() for i in range(n)], "S18").view(np.uint8).reshape(n, 18)


def card_of(k: int) -> ScoreCard:
    return ScoreCard(MODEL, 400 + k * LOW, 700 + k * HIGH, 400, 700)


TABLES = {k: card_of(k).table() for k in range(1, 6)}


def terms_of(**changes: Any) -> ScoreTerms:
    fields: dict[str, Any] = {
        "model": MODEL,
        "points": (LOW, HIGH),
        "bank_keys": {KEY.public.fingerprint: KEY.public},
        "pair_keys": {name: frozenset({pair.public}) for name, pair in PAIRS.items()},
    }
    return ScoreTerms(**fields | changes)


def always(request: ScoreRequest) -> bool:
    return True


@dataclasses.dataclass
class Setting:
    """Points of the bank and of each provider, and which rows each releases."""

    own: I64
    parts: list[I64]
    released: list[Bools]
    seed: int = 1
    fresh: Callable[[ScoreRequest], bool] = always
    terms: ScoreTerms = dataclasses.field(default_factory=terms_of)

    @property
    def names(self) -> tuple[PartyId, ...]:
        return NAMES[: len(self.parts)]

    def asked(self, **changes: Any) -> ScoresAsked:
        n = len(self.own)
        consents = np.stack([np.full((n, 32), place, np.uint8) for place in range(len(self.parts))])
        fields = {"purpose": "financing", "issued_at": NOW, "codes": codes(n), "consents": consents, "points": self.own}
        return ScoresAsked(**fields | changes)  # type: ignore[arg-type]

    def requester(self) -> ScoreRequester:
        k = len(self.parts)
        members = tuple(Member(name, PAIRS[name].public) for name in self.names)
        return ScoreRequester(BANK, card_of(k), members, KEY, PAIRS[BANK], TABLES[k])

    def provider(self, place: int) -> Steps[ScoreAnswered]:
        name = self.names[place]

        def answer(request: ScoreRequest, of: npt.NDArray[np.uint8], consents: Any) -> tuple[I64, Bools]:
            assert (of == codes(len(self.own))).all()
            assert (consents == place).all()
            return self.parts[place], self.released[place]

        role = ScoreProvider(name, BANK, self.terms, {PAIRS[name].public: PAIRS[name]})
        return role.steps(self.fresh, answer, insecure_seeded(self.seed, name))

    def run(self, asked: ScoresAsked | None = None, **network: Any) -> Outcome:
        roles: dict[PartyId, Steps[Any]] = {name: self.provider(place) for place, name in enumerate(self.names)}
        roles[BANK] = self.requester().steps(asked or self.asked(), insecure_seeded(self.seed, "bank"))
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
    data=st.data(),
)
def test_totals_are_the_sums_in_the_clear_in_any_order_of_delivery(
    k: int, n: int, seed: int, refused: float, data: st.DataObject
) -> None:
    made = setting(k, n, seed, refused)
    outcome = made.run(pick=lambda links: data.draw(st.sampled_from(links)))
    scores: Scores = outcome.results[BANK]
    everybody = np.all(made.released, axis=0)
    assert (scores.scored == everybody).all()
    assert (scores.totals == np.where(everybody, made.own + np.sum(made.parts, axis=0), 0)).all()
    for place, name in enumerate(made.names):
        assert outcome.results[name] == ScoreAnswered(scores.request, n, int(made.released[place].sum()))


@pytest.mark.parametrize("extreme", [LOW, HIGH])
def test_the_ends_of_the_range_are_totals_too(extreme: int) -> None:
    own = np.array([400, 700])
    made = Setting(own, [np.full(2, extreme)] * 3, [np.ones(2, np.bool_)] * 3)
    assert made.run().results[BANK].totals.tolist() == (own + 3 * extreme).tolist()


def test_a_request_of_several_messages_is_one_request() -> None:
    made = setting(2, CHUNK_ROWS + 3, refused=0.1)
    outcome = made.run()
    everybody = np.all(made.released, axis=0)
    assert (outcome.results[BANK].scored == everybody).all()
    assert (outcome.results[BANK].totals == np.where(everybody, made.own + sum(made.parts), 0)).all()
    sizes = [size for _, _, kind, size in outcome.traffic if kind == "ScorePart"]
    assert len(sizes) == 4
    assert max(sizes) < 1.2 * 2**20


def seen(made: Setting) -> dict[PartyId, list[Message]]:
    """What each provider sends."""
    sent: dict[PartyId, list[Message]] = {name: [] for name in made.names}

    def see(link: Link, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == ScorePart.tag:
            sent[link.sender].append(ScorePart.decode(body))
        return tag, body

    made.run(tamper=see)
    return sent


def parts_of(made: Setting) -> list[ScorePart]:
    return [part for parts in seen(made).values() for part in parts if isinstance(part, ScorePart)]


@settings(max_examples=15, deadline=None)
@given(k=st.integers(2, 5), seed=st.integers(0, 999), data=st.data())
def test_a_proper_subset_of_parts_is_no_number_and_another_one_each_time(
    k: int, seed: int, data: st.DataObject
) -> None:
    """Bank and platform, with the key: of some parts they find no sum, and of the same points another one each time."""
    some = data.draw(st.lists(st.integers(0, k - 1), min_size=1, max_size=k - 1, unique=True))
    first = setting(k, 8, seed)
    opened = []
    for made in (first, dataclasses.replace(first, seed=seed + 1000)):
        parts = parts_of(made)
        subset = np.stack([parts[place].ciphertexts for place in some])
        assert not KEY.open(subset, TABLES[5])[1].any()
        opened.append(elgamal.open_sums(KEY.to_bytes(), subset))
        marks = sum(parts[place].marks for place in some)
        assert (marks != 0).all(), "nor whether these answer"
    assert (opened[0] != opened[1]).any(axis=1).all()


def test_marks_of_all_providers_say_nothing_to_who_is_not_the_bank() -> None:
    """The platform sees all parts. Their marks do not add up to zero without the bank's."""
    made = setting(3, 200, refused=0.5)
    marks = np.sum([part.marks for part in parts_of(made)], axis=0, dtype=np.uint64)
    assert (marks != 0).all()
    assert len(set(marks.tolist())) == 200


def test_what_is_sent_does_not_depend_on_points_or_refusals_but_in_ciphertexts_and_marks() -> None:
    outcomes = [setting(3, 50, seed=5, refused=refused).run().traffic for refused in (0.0, 0.5, 1.0)]
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_a_refused_row_cannot_be_told_from_an_answered_one_by_its_part() -> None:
    """With points of another kind in refused rows, what the bank can open is the same to the byte."""
    made = setting(2, 30, seed=3)
    made.released[0] = np.arange(30) % 2 == 0
    other = dataclasses.replace(made, parts=[np.where(made.released[0], made.parts[0], LOW), made.parts[1]])
    for one, two in zip(parts_of(made), parts_of(other), strict=True):
        assert one.encode() == two.encode()


def test_one_provider_alone_answers_only_where_its_terms_say_so() -> None:
    made = setting(1, 4)
    with pytest.raises(RefusedError, match="SCORE_PROVIDERS"):
        made.run()
    allowed = dataclasses.replace(made, terms=terms_of(min_providers=1))
    assert (allowed.run().results[BANK].totals == made.own + made.parts[0]).all()
    with pytest.raises(RefusedError, match="less than 4"):
        setting(3, 4, terms=terms_of(min_providers=4)).run()


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


def zeroed(array: npt.NDArray[np.uint8]) -> None:
    array[2, :32] = 0


def not_canonical(array: npt.NDArray[np.uint8]) -> None:
    array[1, 32:] = 0xFF


def swapped(array: npt.NDArray[Any]) -> None:
    array[[0, 1]] = array[[1, 0]]


BAD_PARTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("identity", edited("ciphertexts", zeroed), "POINT_INVALID"),
    ("not canonical", edited("ciphertexts", not_canonical), "POINT_INVALID"),
    ("another request", lambda part: dataclasses.replace(part, request=bytes(32)), "SCORE_OTHER_REQUEST"),
    ("rows too few", lambda part: ScorePart(part.request, 0, part.ciphertexts[:-1], part.marks[:-1]), "SHAPE"),
    ("rows elsewhere", lambda part: dataclasses.replace(part, first=1), "SHAPE"),
]


@pytest.mark.parametrize(("change", "code"), [case[1:] for case in BAD_PARTS], ids=[case[0] for case in BAD_PARTS])
def test_a_part_that_is_none_is_refused_and_its_sender_named(change: Callable[[Any], Any], code: str) -> None:
    with pytest.raises(PeerError) as refused:
        setting().run(tamper=changing(ScorePart, change, who=NAMES[1]))
    assert (refused.value.code, refused.value.culprit) == (code, NAMES[1])


def test_rows_in_another_order_are_out_of_range_and_release_nothing() -> None:
    with pytest.raises(PeerError, match="SCORE_OUT_OF_RANGE") as refused:
        setting().run(tamper=changing(ScorePart, edited("ciphertexts", swapped), who=NAMES[0]))
    assert refused.value.culprit == "tax, social, water", "a sum does not say whose part it is"


def test_marks_in_another_order_leave_rows_without_a_score() -> None:
    made = setting()
    scores = made.run(tamper=changing(ScorePart, edited("marks", swapped), who=NAMES[0])).results[BANK]
    assert scores.scored.tolist() == [False, False, True, True, True, True]
    assert scores.totals[:2].tolist() == [0, 0]


def test_ciphertexts_of_another_request_add_up_to_nothing() -> None:
    old = parts_of(setting(seed=7))[0]
    replayed = changing(ScorePart, lambda part: dataclasses.replace(old, request=part.request), who=NAMES[0])
    scores = setting(seed=8).run(tamper=replayed).results[BANK]
    assert not scores.scored.any(), "marks are of the other request too"
    only = changing(ScorePart, lambda part: dataclasses.replace(part, ciphertexts=old.ciphertexts), who=NAMES[0])
    with pytest.raises(PeerError, match="SCORE_OUT_OF_RANGE"):
        setting(seed=8).run(tamper=only)


def test_points_beyond_a_part_are_not_sent_and_beyond_the_card_not_taken() -> None:
    made = setting()
    made.parts[0] = np.full(6, HIGH + 1)
    with pytest.raises(ValueError, match="outside of the range of this party's part"):
        made.run()
    made.parts[1:] = [np.full(6, HIGH)] * 2
    wide = dataclasses.replace(made, terms=terms_of(points=(LOW, 10**6)))
    with pytest.raises(PeerError, match="SCORE_OUT_OF_RANGE"):
        wide.run()


def test_a_provider_who_is_missing_is_waited_for_and_nothing_comes_of_it() -> None:
    made = setting()

    def silent() -> Steps[None]:
        yield from ()

    roles: dict[PartyId, Steps[Any]] = {name: made.provider(place) for place, name in enumerate(made.names)}
    roles[NAMES[2]] = silent()
    roles[BANK] = made.requester().steps(made.asked(), insecure_seeded(1))
    with pytest.raises(FedcreditError) as raised:
        run_network(roles, insecure_in_process=True)
    assert raised.value.code in {"DEADLOCK", "MESSAGE_AFTER_END"}


def test_a_request_is_answered_once() -> None:
    nonces: set[bytes] = set()

    def fresh(request: ScoreRequest) -> bool:
        known = request.nonce in nonces
        nonces.add(request.nonce)
        return not known

    setting(2, fresh=lambda request: request.nonce not in nonces).run()
    made = setting(2)
    made.fresh = fresh
    with pytest.raises(RefusedError, match="SCORE_REPLAYED"):
        # The first provider takes the nonce; the second shares the store, as a provider asked again would.
        made.run()
    assert len(nonces) == 1


def refused(change: Callable[[ScoreRequest], ScoreRequest] | None = None, **terms: Any) -> FedcreditError:
    """Why the first provider refuses a request, changed on its way."""
    made = setting(terms=terms_of(**terms))
    tamper = changing(ScoreRequest, change or (lambda request: request), who=NAMES[0])
    with pytest.raises(FedcreditError) as raised:
        made.run(tamper=tamper)
    return raised.value


STRANGER = PairKey.generate(insecure_seeded(77))
RIVALS_KEY = PrivateKey.generate("rival", "scores", Validity(NOW - 10, NOW + 10), insecure_seeded(4)).public
OLD_KEY = PrivateKey.generate("bank", "scores-2026", Validity(NOW - 10, NOW), insecure_seeded(5)).public


def named(*names: str) -> Callable[[ScoreRequest], ScoreRequest]:
    def change(request: ScoreRequest) -> ScoreRequest:
        keys = [PAIRS[party_id(name)].public for name in ("bank", *names)]
        return dataclasses.replace(
            request,
            providers="\n".join(names),
            pair_keys=np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32),
            consents=np.zeros((len(names), 32), np.uint8),
        )

    return change


def with_stranger(place: int) -> Callable[[ScoreRequest], ScoreRequest]:
    def edit(keys: npt.NDArray[np.uint8]) -> None:
        keys[place] = np.frombuffer(STRANGER.public, np.uint8)

    return edited("pair_keys", edit)


def with_key(key: PublicKey) -> Callable[[ScoreRequest], ScoreRequest]:
    return lambda request: dataclasses.replace(request, key=key.fingerprint)


KEYS = {key.fingerprint: key for key in (KEY.public, RIVALS_KEY, OLD_KEY)}
REFUSED: list[tuple[str, Callable[[ScoreRequest], ScoreRequest] | None, dict[str, Any], str]] = [
    ("model", lambda request: dataclasses.replace(request, model=bytes(32)), {}, "SCORE_MODEL"),
    ("unknown key", None, {"bank_keys": {}}, "SCORE_KEY"),
    ("another bank's key", with_key(RIVALS_KEY), {"bank_keys": KEYS}, "SCORE_KEY"),
    ("a key that has ended", with_key(OLD_KEY), {"bank_keys": KEYS}, "SCORE_KEY"),
    ("without this party", named("social", "water"), {}, "SCORE_PROVIDERS"),
    ("alone", named("tax"), {}, "SCORE_PROVIDERS"),
    ("a stranger's key for a provider", with_stranger(2), {}, "SCORE_PROVIDERS"),
    ("a stranger's key for this party", with_stranger(1), {}, "SCORE_PROVIDERS"),
    ("a stranger's key for the bank", with_stranger(0), {}, "SCORE_PROVIDERS"),
    (
        "a party that is not of the model",
        None,
        {"pair_keys": {BANK: frozenset({PAIRS[BANK].public})}},
        "SCORE_PROVIDERS",
    ),
    ("too many rows", None, {"max_rows": 5}, "SCORE_ROWS"),
]


@pytest.mark.parametrize(("change", "terms", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_a_request_that_is_not_to_be_answered_is_refused(change: Any, terms: dict[str, Any], code: str) -> None:
    error = refused(change, **terms)
    assert isinstance(error, RefusedError)
    assert error.code == code


def test_a_request_in_anothers_name_is_refused() -> None:
    error = refused(lambda request: dataclasses.replace(request, requester="rival"))
    assert (error.code, isinstance(error, PeerError) and error.culprit) == ("SCORE_REQUESTER", BANK)


def test_a_request_that_is_none_is_not_even_read() -> None:
    requests: list[ScoreRequest] = []
    setting().run(tamper=changing(ScoreRequest, lambda request: requests.append(request) or request))
    request = requests[0]
    changes: list[dict[str, Any]] = [
        {"providers": "tax\ntax\nwater"},
        {"providers": "tax\nbank\nwater"},
        {"providers": "tax\nsocial\nWater"},
        {"providers": "tax\nsocial\nwater\n"},
        {"providers": "tax\nsocial"},
        {"providers": ""},
        {"requester": ""},
        {"rows": 0},
        {"rows": MAX_SUBJECTS + 1},
        {"nonce": bytes(31)},
        {"pair_keys": request.pair_keys[:-1]},
        {"pair_keys": request.pair_keys[:, :-1].copy()},
        {"consents": request.consents[:-1]},
    ]
    for change in changes:
        with pytest.raises(MessageInvalid) as raised:
            dataclasses.replace(request, **change)
        assert raised.value.code in {"MESSAGE_INVALID", "ARRAY_INVALID"}
    many = [f"p{place}" for place in range(MAX_PROVIDERS + 1)]
    with pytest.raises(MessageInvalid):
        dataclasses.replace(
            request,
            providers="\n".join(many),
            pair_keys=np.zeros((len(many) + 1, 32), np.uint8),
            consents=np.zeros((len(many), 32), np.uint8),
        )


def test_providers_of_one_request_have_to_be_told_the_same() -> None:
    """A bank that tells one provider other subjects, consents or a purpose gets nothing from the sum."""
    with pytest.raises(PeerError, match="SCORE_SUBJECTS"):
        setting().run(tamper=changing(ScoreSubjects, edited("codes", swapped), who=NAMES[0]))
    with pytest.raises(PeerError, match="SCORE_SUBJECTS"):
        setting().run(tamper=changing(ScoreSubjects, edited("consents", lambda array: array.fill(9)), who=NAMES[0]))
    purpose = changing(ScoreRequest, lambda request: dataclasses.replace(request, purpose="research"), who=NAMES[0])
    with pytest.raises(PeerError, match="SCORE_OTHER_REQUEST") as raised:
        setting().run(tamper=purpose)
    assert raised.value.culprit == NAMES[0]


def test_other_rows_than_are_due_and_a_subject_twice_are_refused() -> None:
    def shifted(message: ScoreSubjects) -> ScoreSubjects:
        return dataclasses.replace(message, first=1)

    def short(message: ScoreSubjects) -> ScoreSubjects:
        return ScoreSubjects(0, message.codes[:-1], message.consents[:-1])

    for change in (shifted, short):
        with pytest.raises(PeerError, match="SHAPE"):
            setting().run(tamper=changing(ScoreSubjects, change, who=NAMES[0]))
    made = setting()
    with pytest.raises(DataError, match="ID_DUPLICATE"):
        made.asked(codes=np.repeat(codes(3), 2, axis=0))
    with pytest.raises(DataError, match="SET_EMPTY"):
        setting(n=0).asked()
    n = MAX_SUBJECTS + 1
    with pytest.raises(DataError, match="SET_SIZE"):
        made.asked(codes=np.zeros((n, 1), np.uint8))


def test_what_is_no_card_or_no_terms_is_refused() -> None:
    for low, high, own_low, own_high in ((0, 2**16, 0, 0), (1, 0, 0, 0), (0, 10, 5, 4), (0, 10, 0, 11)):
        with pytest.raises(BadRange, match="SCORE_RANGE"):
            ScoreCard(MODEL, low, high, own_low, own_high)
    with pytest.raises(ValueError, match="ScoreCard"):
        ScoreCard(b"", 0, 1, 0, 0)
    for change in ({"min_providers": 0}, {"max_rows": 0}, {"max_rows": MAX_SUBJECTS + 1}, {"points": (1, 0)}):
        with pytest.raises(ConfigError, match="CONFIG_VALUE"):
            terms_of(**change)
    made = setting()
    with pytest.raises(ValueError, match="table"):
        dataclasses.replace(made.requester(), table=TABLES[1])
    with pytest.raises(ValueError, match="own range"):
        made.run(made.asked(points=np.full(6, 701)))
    low_order = (Member("tax", bytes(32)), *made.requester().providers[1:])
    with pytest.raises(BadKey):
        next(dataclasses.replace(made.requester(), providers=low_order).steps(made.asked(), insecure_seeded(1)))


def test_the_hash_of_a_request_is_of_every_field() -> None:
    requests = []
    setting().run(tamper=changing(ScoreRequest, lambda request: requests.append(request) or request))
    assert len({request_hash(request) for request in requests}) == 1, "all providers get the same"
    request = requests[0]
    changes: list[dict[str, Any]] = [
        {"requester": "rival"},
        {"purpose": "research"},
        {"model": bytes(32)},
        {"key": bytes(32)},
        {"nonce": bytes(32)},
        {"issued_at": NOW + 1},
        {"rows": 7},
        {"providers": "tax\nwater\nsocial"},
        {"pair_keys": np.zeros((4, 32), np.uint8)},
        {"subjects": bytes(32)},
        {"consents": np.ones((3, 32), np.uint8)},
    ]
    assert {next(iter(change)) for change in changes} == {field.name for field in dataclasses.fields(request)}
    hashes = {request_hash(dataclasses.replace(request, **change)) for change in changes}
    assert len(hashes | {request_hash(request)}) == len(changes) + 1
