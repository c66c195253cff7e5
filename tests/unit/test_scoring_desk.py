"""Scores of a published card from desk to desk: those of the whole card, on consent alone, counted, written down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from model_town import OPEN, run
from score_town import BANK, RIVAL, RULE, SOCIAL, TAX, ScoreTown

from fedcredit.errors import DataError, FedcreditError, PeerError, PeerLost, RefusedError
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import ConsentBy
from fedcredit.governance.registry.documents import GRAIN
from fedcredit.governance.scoring.decisions import Outcome
from fedcredit.ids import PartyId
from fedcredit.node.scoring.client import Score, Wanted
from fedcredit.node.scoring.desk import SCORE_PART
from fedcredit.node.scoring.own_keys import own_keys, renewed_keys
from fedcredit.wire.score import ScorePart
from fedcredit.wire.scoring import ScoreCall, ScoreReply, pack, reply_digest, unpack


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScoreTown]:
    made = ScoreTown(tmp_path_factory.mktemp("town"))
    yield made
    made.close()


@contextmanager
def changed(town: ScoreTown, **fields: Any) -> Iterator[None]:
    """The town with other ways for a while."""
    before = {name: getattr(town, name) for name in fields}
    try:
        for name, value in fields.items():
            setattr(town, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(town, name, value)


@contextmanager
def ruled(town: ScoreTown, text: str) -> Iterator[None]:
    """Both providers with another policy for a while."""
    for name in (TAX, SOCIAL):
        town.rule(name, text)
    try:
        yield
    finally:
        for name in (TAX, SOCIAL):
            town.rule(name, OPEN)


def code_of(town: ScoreTown, wanted: list[Wanted], **how: Any) -> str:
    with pytest.raises(FedcreditError) as found:
        town.score(wanted, **how)
    return found.value.code


def outcomes(town: ScoreTown, name: PartyId, since: int) -> list[tuple[Outcome, str]]:
    return [(row.outcome, row.why) for row in town.kept(name)[since:]]


def test_scores_are_those_of_the_whole_card(town: ScoreTown) -> None:
    before = len(town.kept(TAX))
    found = town.score(town.wanted(*range(40)))
    assert [score.points for score in found if isinstance(score, Score)] == town.totals()[:40].tolist()
    assert len(town.kept(TAX)) - before == 40
    entry = [one for one in town.log(TAX) if one["event"] == "score_answered"][-1]["facts"]
    assert (entry["asked"], entry["answered"], entry["requester"], entry["model"]) == (40, 40, BANK, "sme")
    assert entry["providers"] == "tax social_insurance"
    first = found[0]
    assert isinstance(first, Score)
    assert 0 < first.probability < 1
    assert 1 <= first.band <= 10
    assert set(first.reasons) <= {column.name for column in town.made.part.columns}


def test_a_subject_is_not_written_down_as_it_is(town: ScoreTown) -> None:
    town.score(town.wanted(41))
    for name in (TAX, SOCIAL):
        folder = town.models.parties[name].folder
        held = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
        assert town.subjects[41].encode() not in held
    assert town.kept(TAX)[-1].subject != town.kept(SOCIAL)[-1].subject  # each under its own key


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"models": ("other",)}, "consent_scope"),
        ({"models": (), "items": ("water_fee",)}, "consent_scope"),
        ({"requester": "rival"}, "consent_requester"),
        ({"purpose": "research"}, "consent_purpose"),
        ({"region": "jining"}, "consent_region"),
        ({"providers": ("social_insurance", "water")}, "consent_audience"),
        ({"authority": bytes(32)}, "consent_binding"),
        ({"by": ConsentBy.PERSON}, "consent_enterprise"),
    ],
)
def test_a_consent_for_something_else_gives_no_score(town: ScoreTown, change: dict[str, Any], why: str) -> None:
    before = len(town.kept(TAX))
    found = town.score([*town.wanted(50, **change), *town.wanted(51)])
    assert (found[0], isinstance(found[1], Score)) == ("refused", True)
    assert outcomes(town, TAX, before) == [(Outcome.CONSENT, why), (Outcome.ANSWERED, "")]


def test_a_consent_of_another_subject_revoked_ended_or_none_gives_no_score(town: ScoreTown) -> None:
    now, before = int(town.models.platform.clock.now().timestamp()), len(town.kept(TAX))
    town.revoke("A" * 22)
    consents = [
        town.consent(town.subjects[61]),
        town.consent(town.subjects[60], jti="A" * 22),
        town.consent(town.subjects[60], not_before=now - 7200, issued_at=now - 7200, expires=now - 3600),
        "",
        "no.token.at all",
    ]
    assert [town.score([Wanted(town.subjects[60], token)]) for token in consents] == [["refused"]] * 5
    assert [why for _, why in outcomes(town, TAX, before)] == [
        "consent_subject",
        "consent_revoked",
        "consent_expired",
        "consent_missing",
        "token_malformed",
    ]


def test_a_consent_serves_as_often_as_it_says(town: ScoreTown) -> None:
    (wanted,) = town.wanted(70, max_uses=2)
    before = len(town.kept(TAX))
    found = [town.score([wanted])[0] for _ in range(3)]
    assert [isinstance(score, Score) for score in found] == [True, True, False]
    assert outcomes(town, TAX, before)[-1] == (Outcome.USED_UP, "")


def test_refusals_of_one_provider_are_the_banks_alone_to_see(town: ScoreTown) -> None:
    # Who is not in a table is refused like anybody without consent, and others do not hear of it.
    whole = town.tables[SOCIAL]
    gone = town.subjects[80].encode()
    kept = whole.codes != gone
    lacking = replace(whole, codes=whole.codes[kept], columns=whole.columns[kept])
    town.desks[SOCIAL].tables(None).read = lacking  # type: ignore[arg-type,attr-defined]
    before = len(town.kept(TAX)), len(town.kept(SOCIAL))
    try:
        found = town.score(town.wanted(80, 81))
    finally:
        town.desks[SOCIAL].tables(None).read = whole  # type: ignore[arg-type,attr-defined]
    assert (found[0], isinstance(found[1], Score)) == ("refused", True)
    assert [one for one, _ in outcomes(town, TAX, before[0])] == [Outcome.ANSWERED] * 2
    assert [one for one, _ in outcomes(town, SOCIAL, before[1])] == [Outcome.NO_RECORD, Outcome.ANSWERED]


def test_who_is_not_in_the_banks_own_table_is_not_asked_about(town: ScoreTown) -> None:
    outside = "91320100MA1MK00057"
    before = len(town.kept(TAX))
    found = town.score([Wanted(outside, town.consent(outside)), *town.wanted(82)])
    assert (found[0], isinstance(found[1], Score)) == ("not in the own table", True)
    assert len(town.kept(TAX)) == before + 1
    assert town.score([Wanted(outside, town.consent(outside))]) == ["not in the own table"]
    assert len(town.kept(TAX)) == before + 1


def test_a_code_that_is_none_and_a_subject_twice_are_told_before_anybody_is_asked(town: ScoreTown) -> None:
    before = len(town.kept(TAX))
    with pytest.raises(DataError, match="subject 2"):
        town.score([*town.wanted(83), Wanted("91320100", "x")])
    assert code_of(town, [*town.wanted(83), *town.wanted(83)]) == "ID_DUPLICATE"
    assert len(town.kept(TAX)) == before


# -- policy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('callers = ["bank"]', 'callers = ["rival"]'),
        ('models = ["sme"]', 'models = ["other"]'),
        ('kinds = ["scorecard"]', 'kinds = ["gbdt"]'),
        ('purposes = ["financing"]', 'purposes = ["research"]'),
        ('acts = ["score"]', 'acts = ["approve"]'),
        ('action = "admit"', 'action = "refuse"'),
    ],
)
def test_without_a_rule_there_is_no_score_and_no_reason(town: ScoreTown, old: str, new: str) -> None:
    with ruled(town, RULE.replace(old, new)):
        assert code_of(town, town.wanted(90)) == "SCORE_REFUSED"


def test_a_model_that_is_not_here_is_refused_like_one_that_may_not_be_scored(town: ScoreTown) -> None:
    version = replace(town.made, number=7)

    async def work() -> None:
        async with town.client(version):
            raise AssertionError("met")

    with pytest.raises(RefusedError, match="SCORE_REFUSED"):
        run(work())


def test_a_rule_bounds_how_many_and_how_often(town: ScoreTown) -> None:
    begun = len([row for row in town.kept(TAX) if row.outcome is Outcome.ANSWERED])
    before = len(town.kept(TAX))
    with ruled(town, RULE + f"per_day = {begun + 2}\nagain_days = 5\n"):
        town.score(town.wanted(100))
        town.score(town.wanted(100, 101, 102))
    assert [one for one, _ in outcomes(town, TAX, before)] == [
        Outcome.ANSWERED,
        Outcome.AGAIN,
        Outcome.ANSWERED,
        Outcome.PER_DAY,
    ]


def test_where_the_rule_says_so_a_bank_learns_the_band_alone(town: ScoreTown) -> None:
    banded = replace(town.made, only_bands=True)
    due = [int(band) + 1 for band in town.made.bands.bands(town.totals()[140:170].astype(float))]
    wanted = town.wanted(*range(140, 170))
    with ruled(town, RULE + "only_bands = true\n"):
        assert code_of(town, town.wanted(139)) == "SCORE_BANDS_ONLY"

        async def work() -> list[Any]:
            async with town.client(banded) as client:
                return await client.score([*wanted, *town.wanted(171, models=("other",))], town.tables[BANK])

        found = run(work())
    assert [score.band for score in found[:30]] == due
    assert {(score.points, score.probability) for score in found[:30]} == {(None, None)}
    assert found[30] == "refused"
    assert len(set(due)) > 2


def test_how_far_totals_reach_is_said_by_all_parties_or_not_believed(town: ScoreTown) -> None:
    def words(change: Any) -> bytes:
        shown = canonical.read(town.made.words)
        return canonical.write(change(shown))

    def wider(shown: dict[str, list[str]]) -> dict[str, list[str]]:
        said = canonical.read(bytes.fromhex(shown[SOCIAL][0]))
        body = canonical.write(said | {"least": said["least"] - GRAIN})
        return shown | {SOCIAL: [body.hex(), *shown[SOCIAL][1:]]}

    lies = [wider, lambda shown: {TAX: shown[TAX]}, lambda shown: shown | {SOCIAL: shown[TAX]}]
    for lie, code in zip(lies, ("SIGNATURE_INVALID", "WORD_INVALID", "WORD_INVALID"), strict=True):

        async def work(lie: Any = lie) -> None:
            async with town.client(replace(town.made, only_bands=True, words=words(lie))):
                raise AssertionError("met")

        with pytest.raises(PeerError) as found:
            run(work())
        assert found.value.code == code


# -- providers that are down ------------------------------------------------------------------------------------------


def test_a_provider_that_is_down_ends_it_with_its_name(town: ScoreTown) -> None:
    with changed(town, down={SOCIAL}), pytest.raises(PeerLost, match="social_insurance"):
        town.score(town.wanted(110))


def test_a_fallback_takes_everybodys_leave_and_is_marked(town: ScoreTown) -> None:
    lacking = RULE + 'without = ["social_insurance"]\n'
    with changed(town, down={SOCIAL}):
        # Two providers have to answer together, unless the department says otherwise in its own [score].
        with ruled(town, lacking):
            assert code_of(town, town.wanted(111), without=["social_insurance"]) == "SCORE_PROVIDERS"
        town.desks[TAX].section = town.desks[TAX].section.model_copy(update={"min_providers": 1})
        try:
            assert code_of(town, town.wanted(111), without=["social_insurance"]) == "SCORE_PROVIDERS"
            with ruled(town, lacking):
                (score,) = town.score(town.wanted(111), without=["social_insurance"])
                (other,) = town.score(town.wanted(70), without=["social_insurance"])
        finally:
            town.desks[TAX].section = town.desks[TAX].section.model_copy(update={"min_providers": 2})
    assert isinstance(score, Score)
    assert score.without == ("social_insurance",)
    part = town.tables[SOCIAL].look(np.frombuffer(town.subjects[111].encode(), np.uint8)[None])[0]
    assert score.points == town.totals()[111] - part[0]
    # 70 was scored with all of them before: the difference would be social_insurance's part.
    assert other == "refused"
    assert town.kept(TAX)[-1].outcome is Outcome.OTHER_LIST
    # And the other way round: 111 was scored without it.
    assert town.score(town.wanted(111)) == ["refused"]


# -- lies, old words and repetitions ----------------------------------------------------------------------------------


def test_a_call_that_is_sent_again_is_answered_once(town: ScoreTown) -> None:
    seen: list[bytes] = []

    def note(provider: PartyId, method: str, data: bytes) -> bytes:
        if method == "Score" and provider == TAX:
            seen.append(data)
        return data

    with changed(town, sent=note):
        town.score(town.wanted(120))
    before = len(town.kept(TAX))
    (again,) = [one for one in town.desks[TAX].methods() if one.name == "Score"]
    assert again.handle is not None
    with pytest.raises(RefusedError, match="SCORE_REPLAYED"):
        run(again.handle(BANK, ScoreCall.decode(seen[0])))
    with ruled(town, RULE.replace('["bank"]', '["bank", "rival"]')), pytest.raises(PeerError, match="SCORE_REQUESTER"):
        run(again.handle(RIVAL, ScoreCall.decode(seen[0])))
    assert len(town.kept(TAX)) == before
    assert [one["facts"]["code"] for one in town.log(TAX) if one["event"] == "score_refused"][-2:] == [
        "SCORE_REPLAYED",
        "SCORE_REQUESTER",
    ]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda reply: replace(reply, messages=reply.messages[:-1] + b"?"), "SIGNATURE_INVALID"),
        (lambda reply: replace(reply, signature=bytes(64)), "SIGNATURE_INVALID"),
        (lambda reply: replace(reply, certificate=b"no certificate"), "SIGNER_INVALID"),
    ],
)
def test_an_answer_without_its_providers_signature_is_none(town: ScoreTown, change: Any, code: str) -> None:
    def came(provider: PartyId, method: str, data: bytes) -> bytes:
        if method == "Score" and provider == SOCIAL:
            return bytes(change(ScoreReply.decode(data)).encode())
        return data

    with changed(town, came=came), pytest.raises(PeerError, match="social_insurance") as found:
        town.score(town.wanted(121))
    assert found.value.code == code


def _signed(town: ScoreTown, messages: bytes) -> bytes:
    signing = town.models.parties[SOCIAL].signing
    return ScoreReply(messages, signing.sign(SCORE_PART, reply_digest(messages)), signing.certificate).encode()


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        (lambda part: [], "MESSAGE_INVALID"),
        (lambda part: [replace(part, request=bytes(32))], "SCORE_OTHER_REQUEST"),
        (lambda part: [replace(part, ciphertexts=np.full_like(part.ciphertexts, 255))], "POINT_INVALID"),
        (lambda part: [replace(part, ciphertexts=part.ciphertexts[::-1].copy())], "SCORE_OUT_OF_RANGE"),
    ],
)
def test_a_provider_that_signs_nonsense_is_named_and_nothing_is_released(town: ScoreTown, lie: Any, code: str) -> None:
    def came(provider: PartyId, method: str, data: bytes) -> bytes:
        if method != "Score" or provider != SOCIAL:
            return data
        (part,) = unpack(ScoreReply.decode(data).messages, frozenset({ScorePart}))
        return _signed(town, pack(lie(part)) or b"?")

    with changed(town, came=came), pytest.raises(PeerError, match="social_insurance") as found:
        town.score(town.wanted(122, 123))
    assert found.value.code == code


def test_a_provider_with_another_version_is_named(town: ScoreTown) -> None:
    version = replace(town.made, manifest=bytes(32))

    async def work() -> None:
        async with town.client(version):
            raise AssertionError("met")

    with pytest.raises(PeerError, match="MODEL_DIFFERS"):
        run(work())


def test_a_renewed_key_counts_at_once_and_an_older_word_not_any_more(town: ScoreTown) -> None:
    folder, now = town.models.parties[BANK].folder, int(town.models.platform.clock.now().timestamp())
    old = own_keys(folder, BANK, now).newest
    assert own_keys(folder, BANK, now).newest.word.to_bytes() == old.word.to_bytes()
    new = renewed_keys(folder, BANK, now).newest
    assert new.word.number > old.word.number
    assert isinstance(town.score(town.wanted(130))[0], Score)
    (folder / "keys" / "scores.json").chmod(0o640)
    with pytest.raises(FedcreditError, match="SECRET_INVALID"):
        own_keys(folder, BANK, now)
    (folder / "keys" / "scores.json").unlink()
    own_keys(folder, BANK, now - 3600)  # as from a backup, or whoever has stolen it
    assert code_of(town, town.wanted(131)) == "KEY_SUPERSEDED"
    (folder / "keys" / "scores.json").unlink()


def test_one_requester_does_not_hold_all_threads(town: ScoreTown) -> None:
    desk = town.desks[TAX]
    (method,) = [one for one in desk.methods() if one.name == "Score"]
    handle = method.handle
    assert handle is not None

    async def work() -> list[Any]:
        call = ScoreCall("sme", town.version, b"?", b"")
        return await asyncio.gather(*(handle(BANK, call) for _ in range(6)), return_exceptions=True)

    codes = [getattr(one, "code", "") for one in run(work())]
    assert codes.count("QUOTA") == 2
