"""The registry of models: what is signed, which version counts, who may do what, and what a store keeps of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from model_words import BANK, OFFER, PLATFORM, TAX, TREES, offer, signed, word
from raw_store import connected, run

from fedcredit.errors import ConfigError, DataError, FedcreditError, PeerError, RefusedError
from fedcredit.governance.consent import canonical
from fedcredit.governance.registry.bulletin import MAX_LIVE, ModelBulletin, Standing, check_served
from fedcredit.governance.registry.documents import GRAIN, CardFacts, Manifest, Offer, Word, keyed_hash, rounded_out
from fedcredit.governance.registry.rules import Act, Asked, ModelPolicy, ModelRule, ScoreGrant, admit
from fedcredit.governance.registry.stability import Stability
from fedcredit.governance.registry.states import MAX_PAST, Change, Role, Roles, State, decide, state_of, takes_word
from fedcredit.ids import PartyId
from fedcredit.node.store import Store, tables
from fedcredit.node.store.model_parts import OwnPart
from fedcredit.runtime.clock import ManualClock
from fedcredit.runtime.policy_file import load_policy
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.registry import ModelChange, ModelOrder, ModelWord, ShowModels

LAND = PartyId("land")
MANIFEST = bytes([7] * 32)
A, P, W, R = State.APPROVED, State.PUBLISHED, State.WITHDRAWN, State.RETIRED


def code(call: Callable[[], object]) -> str:
    with pytest.raises(FedcreditError) as found:
        call()
    return found.value.code


# -- documents --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("made", [OFFER, TREES, offer("other")])
def test_an_offer_reads_back_and_its_digest_names_it(made: Offer) -> None:
    assert Offer.parse(made.to_bytes(), BANK) == made
    assert len({made.digest, replace(made, name="other").digest}) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "fedcredit-offer/2"),
        ("name", "Sme"),
        ("name", 7),
        ("kind", "logistic"),
        ("kind", "gbdt"),
        ("model", "../scorecard.0"),
        ("job", "../../etc"),
        ("job", ""),
        ("specification", "00"),
        ("specification", "0" * 63 + "G"),
        ("purpose", "curiosity"),
        ("parties", ["bank"]),
        ("parties", ["bank", "bank"]),
        ("parties", ["tax", "land"]),
        ("parties", ["bank", "platform"]),
        ("parties", ["bank", 5]),
        ("parties", None),
        ("facts", {"base_score": "nan", "odds": "20.0", "pdo": "50.0", "n_reasons": 4}),
        ("facts", {"base_score": "600", "odds": "20.0", "pdo": "50.0", "n_reasons": 4}),
        ("facts", {"base_score": "600.0", "odds": "0.0", "pdo": "50.0", "n_reasons": 4}),
        ("facts", {"base_score": "600.0", "odds": "20.0", "pdo": "50.0", "n_reasons": True}),
        ("facts", {"base_score": "600.0", "odds": "20.0", "pdo": "50.0", "n_reasons": 4, "points": 3}),
        ("facts", {"trees": 3, "leaves": 9}),
        ("more", 1),
    ],
)
def test_an_offer_that_is_none_is_refused_and_names_who_gave_it(key: str, value: Any) -> None:
    said = json.loads(OFFER.to_bytes()) | {key: value}
    with pytest.raises(PeerError) as found:
        Offer.parse(canonical.write(said), BANK)
    assert (found.value.code, found.value.culprit) == ("OFFER_INVALID", BANK)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"kind":"scorecard"}', b" " * 5000, b"[" * 60])
def test_bytes_that_are_no_document_are_refused(data: bytes) -> None:
    assert code(lambda: Offer.parse(data, BANK)) == "OFFER_INVALID"
    assert code(lambda: Word.parse(data, BANK)) == "WORD_INVALID"
    assert code(lambda: ModelBulletin.parse(data, PLATFORM, BANK)) == "BULLETIN_INVALID"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "fedcredit-word/2"),
        ("party", ""),
        ("version", 0),
        ("version", True),
        ("version", 10**9),
        ("number", 0),
        ("number", 2**40),
        ("time", -1),
        ("offer", "00"),
        ("part", "ab" * 31),
        ("part", None),  # a no that says what its part can add
        ("least", None),
        ("least", 1),
        ("least", 320),
        ("most", 10**14),
        ("most", "160"),
    ],
)
def test_a_word_that_is_none_is_refused(key: str, value: Any) -> None:
    said = json.loads(word(TAX).to_bytes()) | {key: value}
    assert code(lambda: Word.parse(canonical.write(said), TAX)) == "WORD_INVALID"


def test_a_word_is_on_one_version_of_one_offer_by_one_party() -> None:
    word(TAX).check_for(OFFER, 1, TAX)
    word(TAX, TREES).check_for(TREES, 1, TAX)
    word(TAX, part=None).check_for(OFFER, 1, TAX)
    for said, party, version in (
        (word(BANK), TAX, 1),
        (word(TAX), TAX, 2),
        (word(TAX, offer("other")), TAX, 1),
        (word(TAX, platform=LAND), TAX, 1),
        (word(LAND), LAND, 1),
        (word(TAX, least=None, most=None), TAX, 1),
    ):
        assert code(lambda s=said, p=party, v=version: s.check_for(OFFER, v, p)) == "WORD_INVALID"  # type: ignore[misc]
    with_range = word(TAX, TREES, least=0, most=32)
    assert code(lambda: with_range.check_for(TREES, 1, TAX)) == "WORD_INVALID"


def test_a_manifest_has_a_name_and_a_range_once_all_approve() -> None:
    both = {BANK: word(BANK), TAX: word(TAX)}
    whole = Manifest(1, OFFER, both)
    assert whole.digest is not None
    assert whole.digest == Manifest(1, OFFER, dict(reversed(both.items()))).digest
    assert whole.point_range == (-128, 320)
    later = Manifest(1, OFFER, both | {TAX: word(TAX, number=3)})
    assert later.digest == whole.digest  # who approves anew approves the same
    others = (Manifest(2, OFFER, both), Manifest(1, OFFER, both | {TAX: word(TAX, part=bytes(32))}))
    assert len({whole.digest, *(one.digest for one in others)}) == 3
    half = Manifest(1, OFFER, {BANK: word(BANK)})
    assert (half.digest, half.point_range, half.missing, half.approved) == (None, None, (TAX,), (BANK,))
    gone = Manifest(1, OFFER, both | {TAX: word(TAX, number=2, part=None)})
    assert (gone.digest, gone.withdrawn, gone.missing) == (None, (TAX,), ())
    assert [state_of(one, retired=False) for one in (half, whole, gone)] == [P, A, W]
    assert state_of(whole, retired=True) is R


def test_a_part_looks_different_under_another_key_offer_or_party() -> None:
    seen = {
        keyed_hash(key, of.digest, party, content)
        for key in (bytes(32), bytes([1] * 32))
        for of in (OFFER, TREES)
        for party in (BANK, TAX)
        for content in (bytes(32), bytes([2] * 32))
    }
    assert len(seen) == 16


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**5))
def test_a_range_that_is_told_holds_the_true_one_and_no_more_than_a_grain_beyond(least: int, width: int) -> None:
    low, high = rounded_out(least, least + width)
    assert low <= least
    assert least + width <= high
    assert low % GRAIN == high % GRAIN == 0
    assert least - low < GRAIN
    assert high - least - width < GRAIN


def test_facts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="scale"):
        CardFacts(float("inf"), 20.0, 50.0, 4)


# -- states -----------------------------------------------------------------------------------------------------------


def test_a_champion_is_followed_and_can_be_gone_back_to() -> None:
    states = {1: A, 2: A, 3: A}
    first = decide(Change.ACTIVATE, "sme", 1, Roles(), states)
    assert (first.roles, first.changed) == (Roles(1), True)
    beside = decide(Change.CHALLENGE, "sme", 2, first.roles, states).roles
    assert beside == Roles(1, 2)
    second = decide(Change.ACTIVATE, "sme", 2, beside, states).roles
    assert second == Roles(2, None, (1,))
    third = decide(Change.ACTIVATE, "sme", 3, second, states).roles
    assert third == Roles(3, None, (1, 2))
    back = decide(Change.ROLLBACK, "sme", 3, third, states)
    assert (back.roles, back.changed) == (Roles(2, None, (1,), 3), True)
    # The call whose answer was lost, made again, does not go back once more.
    again = decide(Change.ROLLBACK, "sme", 3, back.roles, states)
    assert (again.roles, again.changed, again.reasons) == (back.roles, False, ())
    assert decide(Change.ROLLBACK, "sme", 2, back.roles, states).roles == Roles(1, None, (), 2)


def test_every_change_asked_for_again_changes_nothing() -> None:
    states = {1: A, 2: A}
    for change, roles in itertools.product(
        (Change.ACTIVATE, Change.CHALLENGE), (Roles(), Roles(1), Roles(1, None, (2,)))
    ):
        once = decide(change, "sme", 2, roles, states)
        assert once.changed
        again = decide(change, "sme", 2, once.roles, states)
        assert (again.roles, again.changed, again.reasons) == (once.roles, False, ())


def test_only_what_all_approve_is_activated() -> None:
    for state, change in itertools.product((P, W, R), (Change.ACTIVATE, Change.CHALLENGE)):
        found = decide(change, "sme", 1, Roles(), {1: state})
        assert [reason.code for reason in found.reasons] == ["MODEL_STATE"]
        assert state.value in found.reasons[0].what
        assert (found.roles, found.changed) == (Roles(), False)
        assert code(found.check) == "MODEL_STATE"
    assert code(decide(Change.ACTIVATE, "sme", 4, Roles(), {1: A}).check) == "MODEL_UNKNOWN"
    assert code(decide(Change.CHALLENGE, "sme", 1, Roles(1), {1: A}).check) == "MODEL_STATE"


def test_a_rollback_goes_past_versions_that_somebody_withdrew() -> None:
    roles = Roles(4, 2, (1, 2, 3))
    assert decide(Change.ROLLBACK, "sme", 4, roles, {1: A, 2: A, 3: W, 4: A}).roles == Roles(2, None, (1,), 4)
    for states in ({1: W, 2: R, 3: W, 4: A}, {4: A}):
        assert code(decide(Change.ROLLBACK, "sme", 4, roles, states).check) == "MODEL_STATE"
    for left, champion in ((2, Roles(1)), (1, Roles())):
        assert code(decide(Change.ROLLBACK, "sme", left, champion, {1: A, 2: A}).check) == "MODEL_STATE"
    # A champion that a party withdrew is what one wants to leave most.
    assert decide(Change.ROLLBACK, "sme", 2, Roles(2, None, (1,)), {1: A, 2: W}).roles == Roles(1, None, (), 2)


def test_who_is_retired_counts_for_nothing_and_is_not_gone_back_to() -> None:
    states = {1: A, 2: A, 3: A}
    found = decide(Change.RETIRE, "sme", 1, Roles(1, 2, (3,)), states)
    assert (found.roles, found.changed) == (Roles(None, 2, (3,)), True)
    assert decide(Change.RETIRE, "sme", 2, Roles(1, 2, (3,)), states).roles == Roles(1, None, (3,))
    assert decide(Change.RETIRE, "sme", 3, Roles(1, 2, (3,)), states).roles == Roles(1, 2, ())
    assert not decide(Change.RETIRE, "sme", 1, Roles(), states | {1: R}).changed


def test_a_name_remembers_so_many_champions_and_no_more() -> None:
    states, roles = dict.fromkeys(range(1, 100), A), Roles()
    for version in range(1, 100):
        roles = decide(Change.ACTIVATE, "sme", version, roles, states).roles
    assert roles.past == tuple(range(99 - MAX_PAST, 99))


@given(st.lists(st.tuples(st.sampled_from(Change), st.integers(1, 4)), max_size=40), st.lists(st.sampled_from(State)))
def test_whatever_is_asked_the_roles_hold_together(asked: list[tuple[Change, int]], given_states: list[State]) -> None:
    states, roles = dict(enumerate((given_states + [A] * 4)[:4], 1)), Roles()
    for change, version in asked:
        found = decide(change, "sme", version, roles, states)
        assert not (found.changed and found.reasons)
        assert found.changed or found.roles == roles
        roles = found.roles
        if change is Change.RETIRE:
            states[version] = R
        assert roles.champion is None or roles.champion != roles.challenger
        assert roles.champion not in roles.past
        assert len(set(roles.past)) == len(roles.past)
        assert all(states[one] is not R for one in (roles.champion, roles.challenger, *roles.past) if one)


def test_later_words_count_and_no_word_names_another_part() -> None:
    yes, no = word(TAX), word(TAX, number=2, part=None)
    assert takes_word(None, None, yes)
    assert not takes_word(yes, yes.part, yes)
    assert takes_word(yes, yes.part, no)
    assert not takes_word(no, yes.part, yes)  # an old word that was on its way
    assert takes_word(no, yes.part, word(TAX, number=3))
    assert code(lambda: takes_word(yes, yes.part, word(TAX, time=1))) == "WORD_CONFLICT"
    other = bytes([9] * 32)
    with pytest.raises(RefusedError, match="MODEL_PART_DIFFERS") as found:
        takes_word(no, yes.part, word(TAX, number=3, part=other))
    assert yes.part is not None
    assert yes.part.hex() in str(found.value)
    assert other.hex() in str(found.value)


# -- who may ---------------------------------------------------------------------------------------------------------


def asked(**changed: Any) -> Asked:
    values: dict[str, Any] = {
        "caller": "bank",
        "act": Act.ACTIVATE,
        "model": "sme",
        "kind": "scorecard",
        "purpose": "financing",
    }
    return Asked(**values | changed)


def test_without_a_rule_nobody_may_do_anything() -> None:
    for act in Act:
        assert code(lambda a=act: admit(ModelPolicy(), asked(act=a))) == "MODEL_REFUSED"  # type: ignore[misc]


def test_the_first_rule_that_is_about_a_request_decides() -> None:
    never = ModelRule(name="never", admits=False, callers=frozenset({"rival"}))
    own = ModelRule(name="own", admits=True, callers=frozenset({"bank"}), acts=frozenset({"activate"}))
    any_ = ModelRule(name="any", admits=True, acts=frozenset({"show"}))
    policy = ModelPolicy((never, own, any_))
    assert admit(policy, asked()).name == "own"
    assert admit(policy, asked(caller="land", act=Act.SHOW)).name == "any"
    for request in (asked(caller="rival", act=Act.SHOW), asked(act=Act.RETIRE), asked(caller="land")):
        assert code(lambda r=request: admit(policy, r)) == "MODEL_REFUSED"  # type: ignore[misc]
    with pytest.raises(RefusedError, match="callers: it is for bank; the request has land"):
        admit(policy, asked(caller="land"))


RULE = """
[[model.rule]]
name = "sme"
action = "admit"
callers = ["bank"]
acts = ["publish", "activate"]
models = ["sme"]
kinds = ["scorecard"]
purposes = ["financing"]
"""


def read(folder: Path, text: str) -> ModelPolicy:
    (folder / "policy.toml").write_text(text)
    return load_policy(folder).models


def test_rules_are_read_from_the_policy(tmp_path: Path) -> None:
    (rule,) = read(tmp_path, RULE).rules
    assert (rule.admits, rule.acts, rule.kinds) == (True, {"publish", "activate"}, {"scorecard"})
    (rule,) = read(tmp_path, RULE.replace('["bank"]', '["*"]')).rules
    assert rule.callers is None
    grant = 'acts = ["score"]\nper_day = 9\nagain_days = 20\nwithout = ["tax"]'
    (rule,) = read(tmp_path, RULE.replace('acts = ["publish", "activate"]', grant)).rules
    assert rule.score == ScoreGrant(9, 20, frozenset({"tax"}))
    assert read(tmp_path, "").rules == ()
    assert read(tmp_path, '[[model.rule]]\nname = "no"\naction = "refuse"\n').rules[0].misses(asked()) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('acts = ["publish", "activate"]\n', "", "CONFIG_MISSING_KEY: .*model.rule.0.acts"),
        ('callers = ["bank"]\n', "", "CONFIG_MISSING_KEY: .*callers"),
        ('["bank"]', "[]", "CONFIG_VALUE: .*callers: is empty"),
        ('["bank"]', '["bank", "*"]', "CONFIG_VALUE: .*callers"),
        ('"activate"', '"activat"', "did you mean 'activate'"),
        ('["scorecard"]', '["logistic"]', "CONFIG_VALUE: .*kinds"),
        ('"financing"', '"fun"', "CONFIG_VALUE: .*purposes"),
        ('"admit"', '"approve"', "CONFIG_VALUE: .*action"),
        ("callers", "caller", "did you mean 'callers'"),
        ("[[model.rule]]", "[model]\nrules = 1\n[[model.rule]]", "did you mean 'rule'"),
        ("[[model.rule]]", "[model.rule]", "CONFIG_TYPE: .*model.rule"),
        (RULE, RULE + RULE, "two rules are called 'sme'"),
        (RULE, "model = 3", "CONFIG_TYPE: .*model"),
        (RULE, RULE + "per_day = 5\n", "CONFIG_CONFLICT: .*per_day: is for rules that admit to scores"),
        (RULE, RULE + 'without = ["tax"]\n', "CONFIG_CONFLICT: .*without"),
        ('"publish", "activate"]', '"score"]\nper_day = 0', "CONFIG_VALUE: .*per_day"),
        ('"publish", "activate"]', '"score"]\nagain_days = -1', "CONFIG_VALUE: .*again_days"),
    ],
)
def test_mistakes_in_rules_are_errors_and_never_openings(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    assert old in RULE
    with pytest.raises(ConfigError, match=wanted):
        read(tmp_path, RULE.replace(old, new))


# -- what the platform tells -------------------------------------------------------------------------------------------


def bulletin(number: int = 3, time: int = 1000, models: Any = None, **changed: Any) -> ModelBulletin:
    standing = replace(Standing("sme", 1, OFFER.digest, A, Role.CHAMPION), **changed)
    if standing.state is A:
        standing = replace(standing, manifest=MANIFEST)
    return ModelBulletin.of(PLATFORM, TAX, number, time, (standing,) if models is None else models)


def test_a_bulletin_reads_back_and_is_for_one_party() -> None:
    made = bulletin(state=W, withdrawn=("bank",))
    assert ModelBulletin.parse(made.to_bytes(), PLATFORM, TAX) == made
    for platform, to in ((LAND, TAX), (PLATFORM, BANK)):
        assert code(lambda p=platform, t=to: ModelBulletin.parse(made.to_bytes(), p, t)) == "BULLETIN_INVALID"  # type: ignore[misc]
    full = bulletin(
        models=[Standing("sme", n, bytes(32), A, Role.NONE, MANIFEST, ("a" * 32,) * 2) for n in range(1, MAX_LIVE + 1)]
    )
    assert len(ModelBulletin.parse(full.to_bytes(), PLATFORM, TAX).models) == MAX_LIVE
    for key, value in (
        ("state", "approved"),
        ("manifest", "ab" * 32),
        ("manifest", "00"),
        ("state", "fine"),
        ("role", 3),
        ("offer", "00"),
        ("version", 0),
        ("withdrawn", [3]),
        ("name", ""),
    ):
        said = json.loads(made.to_bytes())
        said["models"][0][key] = value
        data = canonical.write(said)
        assert code(lambda d=data: ModelBulletin.parse(d, PLATFORM, TAX)) == "BULLETIN_INVALID"  # type: ignore[misc]
    said = json.loads(made.to_bytes())
    said["models"] *= 2
    assert code(lambda: ModelBulletin.parse(canonical.write(said), PLATFORM, TAX)) == "BULLETIN_INVALID"


def test_no_bulletin_takes_back_what_a_later_one_said() -> None:
    assert bulletin().follows(None, 1000)
    assert bulletin(4).follows(bulletin(), 1000)
    assert bulletin(time=1001).follows(bulletin(), 1000)
    assert not bulletin(time=999).follows(bulletin(), 1000)
    assert code(lambda: bulletin(2).follows(bulletin(), 1000)) == "BULLETIN_ROLLBACK"
    assert code(lambda: bulletin(role=Role.NONE).follows(bulletin(), 1000)) == "BULLETIN_INVALID"
    assert code(lambda: bulletin(9, 2000).follows(bulletin(), 1000)) == "BULLETIN_FUTURE"


def test_a_part_is_served_for_a_champion_or_challenger_that_all_approve_alone() -> None:
    assert check_served("sme", 1, OFFER.digest, bulletin()).manifest == MANIFEST
    assert check_served("sme", 1, OFFER.digest, bulletin(role=Role.CHALLENGER)).role is Role.CHALLENGER
    refusals = (None, bulletin(models=()), bulletin(role=Role.NONE), bulletin(state=P), bulletin(offer=bytes(32)))
    for heard in refusals:
        assert code(lambda h=heard: check_served("sme", 1, OFFER.digest, h)) == "MODEL_STATE"  # type: ignore[misc]
    with pytest.raises(RefusedError, match="is withdrawn by land, not approved by all"):
        check_served("sme", 1, OFFER.digest, bulletin(state=W, withdrawn=("land",)))


def test_a_stability_index_is_of_a_month_and_of_hundreds_of_scores() -> None:
    assert [Stability("2026-05", index, 300).says for index in (0.0, 0.1, 0.3)] == ["stable", "watch", "shifted"]
    for month, index, scores in (("2026-13", 0.1, 100), ("2026-05", -0.1, 100), ("2026-05", 0.1, 150), ("x", 0.1, 100)):
        assert code(lambda m=month, i=index, s=scores: Stability(m, i, s)) == "STABILITY_INVALID"  # type: ignore[misc]
    with pytest.raises(DataError):
        Stability("2026-05", float("nan"), 100)


# -- messages ---------------------------------------------------------------------------------------------------------


def test_messages_that_go_together_with_nothing_are_refused() -> None:
    ModelOrder("publish", "sme", 0, "job-1", "scorecard.0", "ann")
    ModelOrder("approve", "sme", 2, "", "", "ann")
    for values in (
        ("publish", "sme", 1, "job-1", "scorecard.0", "ann"),
        ("publish", "sme", 0, "", "scorecard.0", "ann"),
        ("publish", "sme", 0, "job-1", "", "ann"),
        ("approve", "sme", 0, "", "", "ann"),
        ("approve", "sme", 1, "job-1", "", "ann"),
        ("approve", "", 1, "", "", "ann"),
        ("score", "sme", 1, "", "", "ann"),
        ("approve", "s" * 33, 1, "", "", "ann"),
        ("approve", "sme", 1_000_001, "", "", "ann"),
        ("approve", "sme", 1, "", "", "a" * 129),
    ):
        with pytest.raises(MessageInvalid):
            ModelOrder(*values)
    for change in (("publish", "sme", 1, ""), ("activate", "", 1, ""), ("activate", "sme", 0, "")):
        with pytest.raises(MessageInvalid):
            ModelChange(*change)
    with pytest.raises(MessageInvalid):
        ShowModels("", 1)
    with pytest.raises(MessageInvalid):
        ModelWord(b"{}", bytes(63), b"c")
    with pytest.raises(MessageInvalid):
        ModelWord(bytes(1025), bytes(64), b"c")


# -- the store --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    made = Store.open(store_url, ManualClock())
    yield made
    made.close()


def publish(store: Store, made: Offer = OFFER) -> int:
    return store.models.publish(made, signed(made), {"change": "publish"})[0]


def say(store: Store, *words: Word) -> list[bool]:
    return [store.models.take(one, signed(one), {"change": "word"}) for one in words]


def approve(store: Store, made: Offer = OFFER) -> int:
    version = publish(store, made)
    say(store, *(word(party, made, version) for party in made.parties))
    return version


def test_the_same_offer_is_one_version_and_another_is_the_next(store: Store) -> None:
    assert store.models.publish(OFFER, signed(OFFER), {"change": "publish"}) == (1, True)
    assert store.models.publish(OFFER, signed(OFFER), {"change": "publish"}) == (1, False)
    assert publish(store, offer("other")) == 2
    assert publish(store, TREES) == 1
    assert [(one.name, one.version, one.state) for one in store.models.all()] == [
        ("sme", 1, P),
        ("sme", 2, P),
        ("trees", 1, P),
    ]
    assert [one.version for one in store.models.all("sme")] == [1, 2]
    assert store.model_changes.number == 3
    assert [change.facts for change in store.model_changes.of("sme")] == [
        {"change": "publish", "version": 2},
        {"change": "publish", "version": 1},
    ]
    assert code(lambda: store.models.version("sme", 3)) == "MODEL_UNKNOWN"


def test_a_version_is_approved_when_all_say_so_and_withdrawn_when_one_does_not(store: Store) -> None:
    publish(store)
    assert say(store, word(BANK)) == [True]
    assert store.models.version("sme", 1).state is P
    assert say(store, word(TAX), word(TAX)) == [True, False]
    found = store.models.version("sme", 1)
    assert (found.state, found.manifest.approved) == (A, (BANK, TAX))
    assert found.words[TAX].body == word(TAX).to_bytes()
    assert say(store, word(TAX, number=2, part=None)) == [True]
    found = store.models.version("sme", 1)
    assert (found.state, found.manifest.withdrawn) == (W, (TAX,))
    assert say(store, word(TAX)) == [False]
    # After a withdrawal too, a party cannot come back with another part.
    assert code(lambda: say(store, word(TAX, number=3, part=bytes(32)))) == "MODEL_PART_DIFFERS"
    assert say(store, word(TAX, number=4)) == [True]
    assert store.models.version("sme", 1).state is A
    assert code(lambda: say(store, word(BANK, version=7))) == "MODEL_UNKNOWN"


def test_roles_are_kept_and_what_is_refused_changes_nothing(store: Store) -> None:
    approve(store)
    approve(store, offer("other"))
    publish(store, offer("third"))
    facts = {"change": "activate"}
    before = store.model_changes.number
    assert store.models.change(Change.ACTIVATE, "sme", 1, facts).changed
    assert not store.models.change(Change.ACTIVATE, "sme", 1, facts).changed
    assert store.models.change(Change.CHALLENGE, "sme", 2, facts).changed
    assert [one.role for one in store.models.all()] == [Role.CHAMPION, Role.CHALLENGER, Role.NONE]
    for version in (3, 9):
        with pytest.raises(RefusedError):
            store.models.change(Change.ACTIVATE, "sme", version, facts)
    with pytest.raises(RefusedError, match="MODEL_UNKNOWN"):
        store.models.change(Change.ACTIVATE, "never", 1, facts)
    assert store.model_changes.number == before + 2
    assert store.models.change(Change.ACTIVATE, "sme", 2, facts).roles == Roles(2, None, (1,))
    assert store.models.change(Change.ROLLBACK, "sme", 2, facts).roles == Roles(1, None, (), 2)
    assert store.models.change(Change.RETIRE, "sme", 2, facts).changed
    assert [(one.state, one.role) for one in store.models.all("sme")] == [
        (A, Role.CHAMPION),
        (R, Role.NONE),
        (P, Role.NONE),
    ]
    assert [one.version for one in store.models.all(live=True)] == [1, 3]
    assert code(lambda: say(store, word(TAX, offer("other"), 2, number=2))) == "MODEL_STATE"
    assert say(store, word(TAX, offer("other"), 2, number=2, part=None)) == [True]


def test_what_is_changed_waits_until_the_audit_log_has_it(store: Store) -> None:
    approve(store)
    waiting = store.model_changes.unrecorded()
    assert [change.number for change in waiting] == [1, 2, 3]
    store.model_changes.recorded(waiting[0])
    assert [change.number for change in store.model_changes.unrecorded()] == [2, 3]


def test_a_registry_has_room_for_so_many_versions(
    store: Store, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedcredit.node.store.registry.MAX_LIVE", 2)
    approve(store)
    publish(store, offer("other"))
    assert code(lambda: publish(store, TREES)) == "QUOTA"
    assert publish(store) == 1  # what is there is there
    store.models.change(Change.RETIRE, "sme", 2, {})
    assert publish(store, TREES) == 1


def test_what_was_changed_by_hand_is_found(store: Store, store_url: str) -> None:
    approve(store)
    run(store_url, "UPDATE model_words SET version = 2 WHERE party = 'tax'")
    publish(store, offer("other"))
    assert code(lambda: store.models.version("sme", 2)) == "STATE_INVALID"
    run(store_url, "UPDATE model_words SET version = 1 WHERE party = 'tax'")
    for change in ("model_roles SET past = 'x'", "model_versions SET offer = digest", "model_changes SET facts = '[]'"):
        run(store_url, f"UPDATE {change}")
        with pytest.raises(FedcreditError, match="STATE_INVALID"):
            assert store.model_changes.unrecorded() == store.models.all() == []


def test_a_months_stability_has_its_place(store: Store) -> None:
    publish(store)

    def note(version: int, month: str, index: float, scores: int = 1200) -> bool:
        return store.models.note_stability("sme", version, Stability(month, index, scores), {"change": "drift"})

    begun = store.model_changes.number
    assert [note(1, "2026-05", 0.12), note(1, "2026-04", 0.3), note(1, "2026-05", 0.12)] == [True, True, False]
    assert code(lambda: note(1, "2026-05", 0.05)) == code(lambda: note(1, "2026-05", 0.12, 1300)) == "DRIFT_SAID"
    assert store.models.stability("sme", 1) == [Stability("2026-04", 0.3, 1200), Stability("2026-05", 0.12, 1200)]
    assert code(lambda: note(2, "2026-05", 0.1)) == "MODEL_UNKNOWN"
    assert store.model_changes.number == begun + 2


def own(said: Word, content: bytes = bytes(32), key: bytes = bytes(32)) -> OwnPart:
    return OwnPart(OFFER, said, content, key)


def test_a_partys_word_is_kept_until_it_is_told(store: Store) -> None:
    assert store.model_parts.of("sme", 1) is None
    store.model_parts.put(own(word(TAX)), {"change": "approve"})
    (kept,) = store.model_parts.all(untold=True)
    assert (kept.offer, kept.word, kept.told) == (OFFER, word(TAX), False)
    no = word(TAX, number=2, part=None)
    store.model_parts.put(own(no), {"change": "withdraw"})
    store.model_parts.told(word(TAX))  # the answer to a word that was replaced meanwhile
    assert [part.word for part in store.model_parts.all(untold=True)] == [no]
    store.model_parts.told(no)
    assert store.model_parts.all(untold=True) == []
    assert store.model_parts.of("sme", 1) == replace(own(no), told=True)
    store.model_parts.told(no, refused=True)
    assert store.model_parts.of("sme", 1) == replace(own(no), told=True, refused=True)
    assert [change.facts["change"] for change in store.model_changes.unrecorded()] == ["approve", "withdraw"]


def test_an_own_part_without_its_hash_is_not_believed(store: Store, store_url: str) -> None:
    store.model_parts.put(own(word(TAX)), {})
    with connected(store_url) as connection:
        connection.execute(tables.model_parts.update().values(content=b""))
    assert code(store.model_parts.all) == "STATE_INVALID"
    with connected(store_url) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(tables.model_parts)).scalar() == 1
