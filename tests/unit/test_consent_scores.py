"""Consents to scores: given for published models, in words that say what is computed, and good for no question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from consent_office import ENTERPRISE, PROPRIETOR, REPRESENTATIVE, SELF, TERMS, ConsentOffice, office
from model_words import OFFER, offer, signed

from fedcredit.errors import FedcreditError, UsageError
from fedcredit.governance.audit import Event
from fedcredit.governance.consent import canonical
from fedcredit.governance.consent.claims import Scope
from fedcredit.governance.consent.decision import Allowed, Refused, decide
from fedcredit.governance.consent.explain import explained
from fedcredit.governance.consent.receipt import check_receipt
from fedcredit.governance.consent.refusal import ConsentRefused, Why
from fedcredit.governance.consent.terms import Terms, Wording
from fedcredit.governance.consent.token import Envelope
from fedcredit.governance.registry.states import Change
from fedcredit.ids import PartyId
from fedcredit.node.consent.wording import notice_of
from fedcredit.wire.consent import RevokeConsent, ShowConsents

SCORE_TERMS = replace(TERMS, predicates=(), models=("sme", "trees"))
SCORE: dict[str, Any] = {"model": "sme", "predicate": "", "items": frozenset()}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[ConsentOffice]:
    with office(tmp_path) as made:
        for name in ("sme", "trees"):
            published = replace(OFFER, name=name)
            made.store.models.publish(published, signed(published), {})
        yield made


def why(decision: Allowed | Refused) -> Why | None:
    return decision.why if isinstance(decision, Refused) else None


def test_a_consent_to_scores_is_good_for_its_models_and_no_question(desk: ConsentOffice) -> None:
    token = desk.grant(terms=SCORE_TERMS)["token"]
    for model in ("sme", "trees"):
        assert isinstance(decide(token, desk.use(**SCORE | {"model": model}), desk.premises()), Allowed)
    assert why(decide(token, desk.use(**SCORE | {"model": "sme-default"}), desk.premises())) is Why.SCOPE
    assert why(decide(token, desk.use(), desk.premises())) is Why.SCOPE
    assert why(decide(token, desk.use(model="sme"), desk.premises())) is Why.SCOPE
    # Each department counts by itself.
    assert why(decide(token, desk.use(**SCORE, uses=2), desk.premises("housing_fund"))) is None
    assert why(decide(token, desk.use(**SCORE, uses=3), desk.premises("housing_fund"))) is Why.USED_UP
    questions = desk.grant(request="questions")["token"]
    assert why(decide(questions, desk.use(**SCORE), desk.premises())) is Why.SCOPE
    consent = Envelope.read(token).claims()
    desk.authority.revoke(REPRESENTATIVE, RevokeConsent("ann", "", consent.jti, "", "no longer wanted"))
    assert why(decide(token, desk.use(**SCORE), desk.premises())) is Why.REVOKED


def test_a_sole_proprietors_scores_take_the_persons_own_word(desk: ConsentOffice) -> None:
    token = desk.grant(SELF, replace(SCORE_TERMS, subject=PROPRIETOR))["token"]
    assert isinstance(decide(token, desk.use(**SCORE, subject=PROPRIETOR), desk.premises()), Allowed)
    enterprise = replace(REPRESENTATIVE, subjects=frozenset({PROPRIETOR}))
    with pytest.raises(FedcreditError, match="CONSENT_PERSON"):
        desk.grant(enterprise, replace(SCORE_TERMS, subject=PROPRIETOR), "other")


def test_models_are_published_ones_of_the_institution(desk: ConsentOffice) -> None:
    others = offer("other", name="theirs", publisher=PartyId("tax"), parties=(PartyId("tax"), PartyId("housing_fund")))
    desk.store.models.publish(others, signed(others), {})
    desk.store.models.change(Change.RETIRE, "trees", 1, {})
    said = []
    for model in ("unheard-of", "theirs", "trees"):
        with pytest.raises(UsageError) as refused:
            desk.grant(terms=replace(SCORE_TERMS, models=(model,)))
        assert refused.value.code == "CONSENT_TERMS"
        said.append(str(refused.value).replace(model, "..."))
    # Whoever asks learns nothing of models of others.
    assert len(set(said)) == 1
    assert not desk.store.consents.newest(10)
    assert desk.grant(terms=replace(SCORE_TERMS, models=("sme",)))["token"]


def test_who_has_published_a_model_may_be_let_pass_word_of_its_scores_on(desk: ConsentOffice) -> None:
    passed = replace(SCORE_TERMS, models=("sme",), requester="insurer", providers=("bank",))
    token = desk.grant(terms=passed)["token"]
    consent = Envelope.read(token).claims()
    assert (consent.providers, consent.scope.requester, consent.scope.models) == (("bank",), "insurer", ("sme",))
    for change in (
        {"providers": ("tax",)},  # the model is another institution's
        {"models": ("unheard-of",)},
        {"models": (), "predicates": TERMS.predicates},
        {"requester": "tax"},
    ):
        with pytest.raises(FedcreditError) as refused:
            desk.grant(terms=replace(passed, **change), request="other")  # type: ignore[arg-type]
        assert refused.value.code in ("CONSENT_TERMS", "CONSENT_MEMBER")
    assert len(desk.store.consents.newest(10)) == 1


def test_the_text_says_what_is_computed_in_both_languages(desk: ConsentOffice) -> None:
    for language, words in (
        ("zh", ("信用评分授权书", "只能解密各单位结果之和", "原始数据均不出本单位", "最多3次", "可随时免费撤回")),
        (
            "en",
            ("encrypted credit scores", "read only what all results add up to", "no record leaves", "At most 3 times"),
        ),
    ):
        text = notice_of(replace(SCORE_TERMS, language=language), REPRESENTATIVE.kind)
        for said in (*words, ENTERPRISE, "bank", "housing_fund", "tax", "- sme\n", "- trees\n"):
            assert said in text
        questions = notice_of(replace(TERMS, language=language), REPRESENTATIVE.kind)
        assert not [line for line in questions.splitlines()[3:] if line in text], "the other kind's words"


def test_lists_receipts_and_words_name_the_models(desk: ConsentOffice) -> None:
    made = desk.grant(terms=SCORE_TERMS)
    desk.grant(request="questions")
    listed = json.loads(desk.authority.shown(REPRESENTATIVE, ShowConsents("ann", "", "")))["consents"]
    assert sorted(row["models"] for row in listed) == [[], ["sme", "trees"]]
    record = check_receipt(made["receipt"].encode(), desk.bulletin().issuers())
    (purpose,) = record["pii_processing"]["purposes"]
    assert purpose["pii_information"] == [{"pii_type": "model", "pii_attribute_id": name} for name in ("sme", "trees")]
    assert "encrypted" in purpose["processing_method"]
    granted = [entry.facts["what"] for entry in desk.entries() if entry.event is Event.CONSENT_GRANTED]
    assert granted == ["scores", "questions"]
    consent = Envelope.read(made["token"]).claims()
    words = [text for name, text in explained(consent, "", 0, Wording("", {}, {})) if name == "may score"]
    assert [text.split(",")[0] for text in words] == ["by the published model sme", "by the published model trees"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"models": ("sme",), "predicates": ("hf_continuous_k",)}, "stand beside questions"),
        ({"models": ("sme",), "items": ("enterprise_property_registration",)}, "stand beside questions"),
        ({"models": ("b", "a")}, "not in order"),
        ({"models": ("a", "a")}, "not in order"),
        ({"models": ("Sme",)}, "not spelt"),
        ({"models": ("m" * 33,)}, "not spelt"),
        ({"models": ("*",)}, "not spelt"),
        ({"models": tuple(f"m{n:02}" for n in range(65))}, "too many"),
        ({"models": ()}, "not as a token has them"),
        ({"max_uses": 0}, "not as a token has them"),
    ],
)
def test_terms_that_no_token_can_have_are_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        replace(SCORE_TERMS, **changed)
    assert refused.value.code == "CONSENT_TERMS"


def test_terms_of_questions_are_the_bytes_that_they_were() -> None:
    """A platform compares them with a grant that is asked for again, perhaps one of before there were scores."""
    assert TERMS.to_bytes() == (
        b'{"days":30,"items":[],"language":"zh","max_uses":3,"predicates":["hf_continuous_k"],'
        b'"providers":["housing_fund","tax"],"purpose":"financing","region":"nanjing","requester":"bank","starts":0,'
        b'"subject":"91320100MA1MK00057"}'
    )
    assert Terms.parse(TERMS.to_bytes()) == TERMS
    assert Terms.parse(SCORE_TERMS.to_bytes()) == SCORE_TERMS
    for name in ("models", "items", "providers"):
        said = json.loads((SCORE_TERMS if name == "models" else TERMS).to_bytes())
        with pytest.raises(UsageError, match="CONSENT_TERMS"):
            Terms.parse(canonical.write({**said, name: "ab"}))
    said = json.loads(TERMS.to_bytes())
    for models in ([], ["sme"], "ab", None):
        with pytest.raises(UsageError, match="CONSENT_TERMS"):
            Terms.parse(canonical.write({**said, "models": models}))


@pytest.mark.parametrize(
    "asked",
    [
        {"models": ("a",), "items": ("b",)},
        {"models": ("a",), "predicates": ("b",)},
        {"models": ("b", "a")},
        {"models": ["a"]},
        {"models": "ab"},
        {"items": "ab"},
        {"models": None},
        {"models": ("",)},
        {},
    ],
)
def test_a_scope_is_of_one_kind(asked: dict[str, Any]) -> None:
    with pytest.raises(ConsentRefused) as refused:
        Scope(requester="bank", purpose="financing", region="nanjing", **asked)
    assert refused.value.why is Why.CLAIM
