"""Desks for models: what the platform takes and from whom, what a party approves, keeps, serves and takes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from model_town import BANK, MODEL, NOW, PARTIES, PLATFORM, RIVAL, SOCIAL, TAX, ModelTown, run
from raw_store import run as run_sql

from fedcredit import failpoints
from fedcredit.cli.main import main
from fedcredit.cli.model_display import show_list, show_model
from fedcredit.errors import FedcreditError, PeerError, RefusedError
from fedcredit.governance.registry.bulletin import REGISTRY, Standing
from fedcredit.governance.registry.bulletin import ModelBulletin as Bulletin
from fedcredit.governance.registry.documents import OFFER, WORD, Offer, Word
from fedcredit.governance.registry.stability import Stability
from fedcredit.governance.registry.states import Role, State
from fedcredit.ids import PartyId
from fedcredit.node.fsck import check_models
from fedcredit.node.registry.desk import BURST
from fedcredit.node.registry.held import MOST_NEWS, HeldModels
from fedcredit.node.rpc import ControlService
from fedcredit.node.store import JobState
from fedcredit.transport.grpc import caller_of
from fedcredit.wire.control import service_methods
from fedcredit.wire.message import Message
from fedcredit.wire.registry import (
    FollowModels,
    ModelBulletin,
    ModelChange,
    ModelDocument,
    ModelOffer,
    ModelWord,
    ShowModels,
)

CLOSED = ""


@pytest.fixture
def town(tmp_path: Path) -> Iterator[ModelTown]:
    made = ModelTown(tmp_path)
    yield made
    made.close()


def code(call: Callable[[], object]) -> str:
    with pytest.raises(FedcreditError) as found:
        call()
    return found.value.code


def asked(town: ModelTown, caller: PartyId, method: str, request: Message) -> Any:
    """What the platform itself answers, before a caller is told less of it."""
    (found,) = [one for one in town.desk.methods(frozenset(town.parties)) if one.name == method]
    assert found.handle is not None
    return run(found.handle(caller, request))


def offer_of(town: ModelTown, job: str, **changed: Any) -> Offer:
    bank = town.parties[BANK]
    return replace(bank.desk._parts.offer_of(PLATFORM, "sme", job, MODEL), **changed)


def offered(town: ModelTown, offer: Offer, caller: PartyId = BANK, signer: PartyId = BANK) -> Callable[[], object]:
    data, by = offer.to_bytes(), town.parties[signer].signing
    message = ModelOffer(data, by.sign(OFFER, data), by.certificate)
    return lambda: asked(town, caller, "Publish", message)


def said(town: ModelTown, word: Word, caller: PartyId = TAX, signer: PartyId = TAX, use: bytes = WORD) -> str:
    data, by = word.to_bytes(), town.parties[signer].signing
    message = ModelWord(data, by.sign(use, data), by.certificate)
    return code(lambda: asked(town, caller, "State", message))


def policy(town: ModelTown, name: PartyId, text: str) -> None:
    (town.folder / name / "policy.toml").write_text(text)


def kept_word(town: ModelTown, party: PartyId = TAX, version: int = 1) -> Word:
    part = town.parties[party].store.model_parts.of("sme", version)
    assert part is not None
    return part.word


# -- the platform ------------------------------------------------------------------------------------------------------


def test_every_method_of_the_contract_is_answered(town: ModelTown) -> None:
    for service, methods in (("Registry", town.desk.methods(())), ("Models", town.parties[TAX].desk.methods())):
        assert {method.name for method in methods} == service_methods(service)
        ControlService(service, caller_of).bind(methods)
    own = [method.callers for method in town.parties[TAX].desk.methods()]
    assert own == [frozenset({TAX})] * 3


def test_an_offer_is_taken_from_who_had_the_label_and_of_what_all_have_signed(town: ModelTown) -> None:
    job, running = town.job(), town.job("second", JobState.RUNNING)
    good = offer_of(town, job)
    for wrong in (
        {"specification": bytes(32)},
        {"purpose": "supervision"},
        {"parties": (BANK, SOCIAL, TAX)},
        {"parties": (BANK, TAX)},
        {"model": "scorecard.9"},
        {"model": "binning.1"},
    ):
        refused = "MODEL_REFUSED" if "purpose" in wrong else "OFFER_DIFFERS"
        assert code(offered(town, replace(good, **wrong))) == refused
    for unknown in ("other", running):
        assert code(offered(town, replace(good, job=unknown))) == "JOB_UNKNOWN"
    assert code(offered(town, replace(good, platform=RIVAL))) == "OFFER_INVALID"
    assert code(offered(town, good, caller=TAX)) == "OFFER_INVALID"
    assert code(offered(town, good, signer=TAX)) == "SIGNER_INVALID"
    # Tax has a part in the job, and did not bring the label.
    policy(town, PLATFORM, (town.folder / PLATFORM / "policy.toml").read_text().replace('"bank"', '"tax"'))
    assert code(offered(town, replace(good, publisher=TAX), TAX, TAX)) == "OFFER_DIFFERS"
    assert town.platform.store.models.all() == []


def test_a_signature_for_another_use_is_none(town: ModelTown) -> None:
    job = town.job()
    offer, by = offer_of(town, job), town.parties[BANK].signing
    data = offer.to_bytes()
    message = ModelOffer(data, by.sign(WORD, data), by.certificate)
    assert code(lambda: asked(town, BANK, "Publish", message)) == "SIGNATURE_INVALID"
    town.version(job)
    assert said(town, replace(kept_word(town), number=2), use=OFFER) == "SIGNATURE_INVALID"


def test_each_party_speaks_for_itself_alone(town: ModelTown) -> None:
    town.version()
    no = replace(kept_word(town), number=5, part=None, least=None, most=None)
    assert said(town, no, caller=SOCIAL, signer=SOCIAL) == "WORD_INVALID"  # tax's word, from another
    assert said(town, no, caller=SOCIAL) == "SIGNER_INVALID"
    assert said(town, replace(no, party=RIVAL), caller=RIVAL, signer=RIVAL) == "MODEL_UNKNOWN"
    assert said(town, replace(no, offer=bytes(32))) == "WORD_INVALID"
    assert said(town, replace(no, version=2)) == "MODEL_UNKNOWN"
    assert said(town, replace(no, name="other")) == "MODEL_UNKNOWN"
    assert said(town, replace(kept_word(town), number=5, part=bytes(32))) == "MODEL_PART_DIFFERS"
    assert said(town, replace(kept_word(town), time=5)) == "WORD_CONFLICT"
    assert town.platform.store.models.version("sme", 1).state.value == "approved"


def test_a_word_that_is_repeated_or_late_changes_nothing(town: ModelTown) -> None:
    town.version()
    first = kept_word(town)
    town.parties[TAX].order("withdraw", version=1)
    by = town.parties[TAX].signing
    old = ModelWord(first.to_bytes(), by.sign(WORD, first.to_bytes()), by.certificate)
    answer = json.loads(asked(town, TAX, "State", old).document)
    assert (answer["counted"], answer["state"], answer["withdrawn"]) == (False, "withdrawn", ["tax"])


def test_a_stranger_is_told_that_there_is_nothing(town: ModelTown) -> None:
    town.version()
    assert town.parties[RIVAL].shown()["models"] == []
    for method, request in (
        ("Models", ShowModels("sme", 1)),
        ("Change", ModelChange("retire", "sme", 1, "eve")),
        ("Models", ShowModels("never", 1)),
        ("Change", ModelChange("retire", "never", 1, "eve")),
    ):
        assert code(lambda m=method, r=request: asked(town, RIVAL, m, r)) == "MODEL_UNKNOWN"  # type: ignore[misc]
    heard = asked(town, RIVAL, "Follow", FollowModels(0, 0))
    assert Bulletin.parse(heard.body, PLATFORM, RIVAL).models == ()
    # Who takes part may look, and that is all.
    assert [row["name"] for row in town.parties[TAX].shown()["models"]] == ["sme"]
    assert code(lambda: asked(town, TAX, "Change", ModelChange("retire", "sme", 1, "eve"))) == "MODEL_REFUSED"
    text = (town.folder / PLATFORM / "policy.toml").read_text()
    policy(town, PLATFORM, text.replace('"bank"', '"rival"').replace('["*"]\nmodels', '["show"]\nmodels'))
    assert [row["name"] for row in town.parties[RIVAL].shown()["models"]] == ["sme"]
    assert code(lambda: asked(town, RIVAL, "Change", ModelChange("retire", "sme", 1, "eve"))) == "MODEL_REFUSED"


def test_without_a_policy_that_can_be_read_nobody_may_do_anything(town: ModelTown) -> None:
    offer = offer_of(town, town.job())
    path = town.folder / PLATFORM / "policy.toml"
    for text in (CLOSED, "[[model.rule]]\nname = 3\n", None):
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        assert code(offered(town, offer)) == "MODEL_REFUSED"
        assert json.loads(asked(town, RIVAL, "Models", ShowModels("", 0)).document) == {"models": []}


def test_the_platforms_own_people_are_told_why_and_a_member_the_code_alone(town: ModelTown) -> None:
    town.version()
    policy(town, PLATFORM, CLOSED)
    change = ModelChange("activate", "sme", 1, "ann")
    answer = json.loads(asked(town, PLATFORM, "Change", change).document)
    assert answer["refused"]["exit_status"] == 77
    assert answer["refused"]["problems"][0]["what"] == "no rule lets platform activate sme (scorecard, financing)"
    with pytest.raises(RefusedError) as found:
        town.parties[BANK].order("activate", version=1)
    assert "no rule" not in str(found.value)


def test_one_caller_does_not_fill_the_disk(town: ModelTown) -> None:
    town.version()
    change = ModelChange("activate", "sme", 9, "ann")
    codes = [code(lambda: asked(town, BANK, "Change", change)) for _ in range(BURST + 1)]
    assert set(codes[: BURST - 2]) == {"MODEL_UNKNOWN"}
    assert codes[-1] == "QUOTA"
    assert json.loads(asked(town, TAX, "Models", ShowModels("", 0)).document)["models"]
    assert town.parties[TAX].order("withdraw", version=1)["told"]


def test_a_crash_between_store_and_log_leaves_no_change_unrecorded(town: ModelTown) -> None:
    town.version()
    failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: "store.model.committed=raise"})
    try:
        with pytest.raises(Exception, match="something-that-must-stay-inside"):
            asked(town, BANK, "Change", ModelChange("activate", "sme", 1, "ann"))
    finally:
        failpoints.load({})
    assert "activate" not in [facts["change"] for facts in town.platform.changes()]
    town.desk = town.new_desk()
    assert [facts["change"] for facts in town.platform.changes()] == ["publish", *["approve"] * 3, "activate"]
    assert not town.parties[BANK].order("activate", version=1)["changed"]
    assert len(town.platform.changes()) == 5


# -- a party ----------------------------------------------------------------------------------------------------------


def test_a_version_goes_from_publishing_to_being_served(town: ModelTown) -> None:
    job, bank, tax = town.job(), town.parties[BANK], town.parties[TAX]
    made = bank.order("publish", job=job, model=MODEL)
    assert made == {"name": "sme", "version": 1, "new": True, "parties": list(PARTIES)}
    assert bank.order("publish", job=job, model=MODEL) == made | {"new": False}
    assert code(lambda: bank.order("activate", version=1)) == "MODEL_STATE"
    for party in PARTIES:
        first = town.parties[party].order("approve", version=1)
        assert town.parties[party].order("approve", version=1) == first
        assert first["told"]
        content = hashlib.sha256(town.parties[party].part(job).read_bytes()).hexdigest()
        assert first["content"] == content != first["part"]
    assert bank.order("activate", version=1)["champion"] == 1
    assert code(lambda: tax.held.served("sme", 1)) == "MODEL_STATE"  # it has not heard of it yet
    assert tax.hear()
    served, shown = tax.held.served("sme", 1), bank.shown("sme", 1)
    assert (served.role, served.part) == (Role.CHAMPION, tax.part(job).read_bytes())
    assert (served.manifest.hex(), served.offer.job) == (shown["manifest"], job)
    assert bank.order("challenge", version=town.version())["challenger"] == 2
    tax.hear()
    assert tax.held.served("sme", 2).role is Role.CHALLENGER
    assert bank.order("retire", version=1)["champion"] is None
    assert tax.hear()
    assert code(lambda: tax.held.served("sme", 1)) == "MODEL_STATE"
    assert [facts["change"] for facts in bank.changes()] == [
        *("publish", "publish", "approve", "activate", "publish", "approve", "challenge", "retire"),
    ]
    heard = [facts for facts in tax.changes() if facts["change"] == "heard"]
    assert [(facts["version"], facts["state"], facts["role"]) for facts in heard] == [
        (1, "approved", "champion"),
        (2, "approved", "challenger"),
        (1, "retired", ""),
    ]
    assert all(not any(len(str(value)) > 128 for value in facts.values()) for facts in tax.changes())


@pytest.mark.parametrize(
    "place", ["model.part.kept", "store.part.committed", "model.change.recorded", "model.word.told"]
)
def test_who_dies_while_approving_has_approved_once_when_it_is_asked_again(town: ModelTown, place: str) -> None:
    job, tax = town.job(), town.parties[TAX]
    town.parties[BANK].order("publish", job=job, model=MODEL)
    failpoints.load({failpoints.ALLOW: "1", failpoints.PLAN: f"{place}=raise"})
    try:
        with pytest.raises(Exception, match="something-that-must-stay-inside"):
            tax.order("approve", version=1)
    finally:
        failpoints.load({})
    for desk in (tax, town.platform):
        desk.record.catch_up()
    assert tax.order("approve", version=1)["told"]
    assert tax.store.model_parts.all(untold=True) == []
    found = town.platform.store.models.version("sme", 1)
    assert (found.manifest.approved, found.manifest.words[TAX].number) == ((TAX,), 1)
    # An entry may stand in a log twice, if a crash came before the store knew of it, and is never left out.
    for node in (tax, town.platform):
        assert [facts["change"] for facts in node.changes()].count("approve") in (1, 2)


def test_a_part_that_is_not_as_the_job_left_it_is_refused_naming_both(town: ModelTown) -> None:
    job, tax = town.job(), town.parties[TAX]
    town.parties[BANK].order("publish", job=job, model=MODEL)
    path = tax.part(job)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"1", b"2", 1))
    with pytest.raises(RefusedError, match="MODEL_PART_DIFFERS") as found:
        tax.order("approve", version=1)
    for data in (whole, path.read_bytes()):
        assert hashlib.sha256(data).hexdigest() in str(found.value)
    path.unlink()
    with pytest.raises(RefusedError, match="MODEL_PART_MISSING") as found:
        tax.order("approve", version=1)
    assert hashlib.sha256(whole).hexdigest() in str(found.value)
    assert tax.store.model_parts.all() == []
    assert not (tax.folder / "models").exists()
    # A part of another training in its place, which the store believes as well.
    other = tax.part(town.job("second")).read_bytes()
    path.write_bytes(other)
    run_sql(
        f"sqlite:///{tax.folder / 'store.sqlite'}",
        "UPDATE results SET digest = :d WHERE job = :j",
        d=_sha(other),
        j=job,
    )
    assert code(lambda: tax.order("approve", version=1)) == "MODEL_INVALID"


def test_what_was_approved_once_is_what_is_approved_again(town: ModelTown) -> None:
    job, tax = town.job(), town.parties[TAX]
    town.version(job)
    before = kept_word(town)
    tax.order("withdraw", version=1)
    assert kept_word(town).number == 2
    assert tax.order("approve", version=1)["told"]
    assert replace(kept_word(town), number=1, time=before.time) == before
    tax.order("withdraw", version=1)
    # Another part in the job's place, with the store told so: no word ever goes out that names it.
    other = tax.part(job).read_bytes().replace(b'"n_reasons": 3', b'"n_reasons":  3')
    tax.part(job).write_bytes(other)
    run_sql(
        f"sqlite:///{tax.folder / 'store.sqlite'}",
        "UPDATE results SET digest = :d WHERE job = :j",
        d=_sha(other),
        j=job,
    )
    with pytest.raises(RefusedError, match="MODEL_PART_DIFFERS") as found:
        tax.order("approve", version=1)
    assert _sha(other).hex() in str(found.value)


def test_a_partys_own_policy_has_to_let_it_be(town: ModelTown) -> None:
    job, bank, tax = town.job(), town.parties[BANK], town.parties[TAX]
    bank.order("publish", job=job, model=MODEL)
    policy(town, TAX, CLOSED)
    with pytest.raises(RefusedError, match=r"MODEL_REFUSED.*no rule lets bank approve sme"):
        tax.order("approve", version=1)
    assert not tax.order("withdraw", version=1)["approves"]  # to say no needs no rule
    policy(town, BANK, CLOSED)
    assert code(lambda: bank.order("publish", "other", job=job, model=MODEL)) == "MODEL_REFUSED"


@pytest.mark.parametrize(
    ("name", "job", "model", "wanted"),
    [
        ("sme", "never", MODEL, "JOB_UNKNOWN"),
        ("sme", "", "scorecard.7", "MODEL_UNKNOWN"),
        ("sme", "", "binning.1", "MODEL_UNKNOWN"),
        ("Sme!", "", MODEL, "MODEL_NAME"),
    ],
)
def test_what_is_no_model_of_a_job_is_not_published(
    town: ModelTown, name: str, job: str, model: str, wanted: str
) -> None:
    made = town.job()
    assert code(lambda: town.parties[BANK].order("publish", name, job=job or made, model=model)) == wanted
    assert code(lambda: town.parties[TAX].order("publish", job=made, model=MODEL)) == "NOT_LABEL_PARTY"


def test_a_withdrawal_holds_at_once_and_is_told_when_the_platform_is_back(town: ModelTown) -> None:
    town.version()
    tax, bank = town.parties[TAX], town.parties[BANK]
    bank.order("activate", version=1)
    tax.hear()
    tax.line.down = True
    assert tax.order("withdraw", version=1)["told"] is False
    assert code(lambda: tax.held.served("sme", 1)) == "MODEL_STATE"
    shown = tax.shown()
    assert shown["away"] == PLATFORM
    assert [(one["approves"], one["told"]) for one in shown["own"]] == [(False, False)]
    assert code(lambda: tax.order("activate", version=1)) == "PEER_LOST"
    assert code(lambda: tax.order("approve", version=1)) == "PEER_LOST"
    tax.line.down = False
    (waiting,) = tax.store.model_parts.all(untold=True)
    run(tax.held.tell(tax.line, waiting))
    assert tax.store.model_parts.all(untold=True) == []
    (row,) = bank.shown()["models"]
    assert (row["state"], row["withdrawn"], row["role"]) == ("withdrawn", ["tax"], "champion")
    bank.hear()
    with pytest.raises(RefusedError, match="is withdrawn by tax"):
        bank.held.served("sme", 1)
    assert code(lambda: tax.order("withdraw", "never", 1)) == "MODEL_UNKNOWN"


def test_a_word_that_the_platform_does_not_take_is_not_told_for_ever(town: ModelTown) -> None:
    town.version()
    tax = town.parties[TAX]
    tax.order("withdraw", version=1)
    tax.line.down = True
    town.parties[BANK].order("retire", version=1)
    # Tax approves anew, and does not know yet that the version is retired.
    part = tax.store.model_parts.of("sme", 1)
    assert part is not None
    again = replace(part, word=replace(kept_word(town), number=3, part=bytes(32), least=0, most=32))
    tax.store.model_parts.put(again, {"change": "approve"})
    tax.line.down = False
    assert code(lambda: run(tax.held.tell(tax.line, again))) == "MODEL_PART_DIFFERS"
    assert tax.store.model_parts.all(untold=True) == []
    kept = tax.store.model_parts.of("sme", 1)
    assert kept is not None
    assert kept.refused


def test_a_store_that_was_restored_goes_on_counting(town: ModelTown) -> None:
    town.version()
    tax = town.parties[TAX]
    run_sql(f"sqlite:///{tax.folder / 'store.sqlite'}", "DELETE FROM model_parts")
    # The key is gone, so the part looks like another one: the version is the party's no more.
    assert code(lambda: tax.order("approve", version=1)) == "MODEL_PART_DIFFERS"
    assert tax.order("withdraw", version=1)["told"]
    assert town.platform.store.models.version("sme", 1).manifest.words[TAX].number == 3


def test_a_damaged_part_is_not_served_and_fsck_finds_it(town: ModelTown) -> None:
    job, tax = town.job(), town.parties[TAX]
    town.version(job)
    town.parties[BANK].order("activate", version=1)
    tax.hear()
    content = hashlib.sha256(tax.part(job).read_bytes()).hexdigest()
    path = tax.folder / "models" / f"{content}.json"
    assert path.stat().st_mode & 0o777 == 0o400
    assert check_models(tax.store, TAX, tax.folder) == []
    path.unlink()
    path.write_bytes(b"{}")
    with pytest.raises(FedcreditError, match="MODEL_PART_DIFFERS") as found:
        tax.held.served("sme", 1)
    assert content in str(found.value)
    assert hashlib.sha256(b"{}").hexdigest() in str(found.value)
    assert [problem.code for problem in check_models(tax.store, TAX, tax.folder)] == ["MODEL_PART_DIFFERS"]
    path.unlink()
    assert code(lambda: tax.held.served("sme", 1)) == "MODEL_PART_MISSING"
    tax.order("approve", version=1)
    assert tax.held.served("sme", 1).part == tax.part(job).read_bytes()


# -- what a party believes of its platform ----------------------------------------------------------------------------


class Lying:
    """A platform that changes what it hands out."""

    def __init__(self, honest: Any, change: Callable[[dict[str, Any]], None]) -> None:
        self.peer, self._honest, self._change = honest.peer, honest, change

    async def call(self, method: str, request: Message, reply: type[Message], **options: Any) -> Message:
        found = await self._honest.call(method, request, reply, **options)
        if method != "Models":
            return found
        value = json.loads(found.document)
        self._change(value)
        return ModelDocument(json.dumps(value).encode())


def test_a_sheet_that_the_publisher_has_not_signed_is_not_approved(town: ModelTown) -> None:
    job, tax = town.job(), town.parties[TAX]
    town.parties[BANK].order("publish", job=job, model=MODEL)
    honest = tax.desk._client

    def other_scale(value: dict[str, Any]) -> None:
        said = json.loads(bytes.fromhex(value["signed"]["offer"]["body"]))
        said["facts"]["n_reasons"] = 4
        body = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
        value["signed"]["offer"]["body"] = body.hex()

    def no_signature(value: dict[str, Any]) -> None:
        value["signed"]["offer"]["signature"] = "00" * 64

    def other_signer(value: dict[str, Any]) -> None:
        by = town.platform.signing
        body = bytes.fromhex(value["signed"]["offer"]["body"])
        value["signed"]["offer"] |= {"signature": by.sign(OFFER, body).hex(), "certificate": by.certificate.hex()}

    def nothing(value: dict[str, Any]) -> None:
        value.clear()

    for change, wanted in (
        (other_scale, "SIGNATURE_INVALID"),
        (no_signature, "SIGNATURE_INVALID"),
        (other_signer, "SIGNER_INVALID"),
        (nothing, "MESSAGE_INVALID"),
    ):
        tax.desk._client = Lying(honest, change)  # type: ignore[assignment]
        assert code(lambda: tax.order("approve", version=1)) == wanted
    assert tax.store.model_parts.all() == []


def test_a_part_whose_scale_is_not_the_offers_is_not_approved(town: ModelTown) -> None:
    job, bank, tax = town.job(), town.parties[BANK], town.parties[TAX]
    offer = offer_of(town, job)
    offered(town, replace(offer, facts=replace(offer.facts, n_reasons=9)))()  # type: ignore[type-var]
    with pytest.raises(RefusedError, match=r"OFFER_DIFFERS.*says another scale"):
        tax.order("approve", version=1)
    assert code(lambda: bank.order("approve", version=1)) == "OFFER_DIFFERS"


def test_words_that_nobody_signed_are_named_where_they_are_shown(town: ModelTown) -> None:
    town.version()
    tax = town.parties[TAX]

    def forge(value: dict[str, Any]) -> None:
        value["signed"]["words"]["social_insurance"]["signature"] = "00" * 64

    tax.desk._client = Lying(tax.desk._client, forge)  # type: ignore[assignment]
    assert tax.shown("sme", 1)["unbelieved"] == {"social_insurance": "SIGNATURE_INVALID"}


def bulletin(town: ModelTown, number: int, *, signer: PartyId = PLATFORM, to: PartyId = TAX) -> ModelBulletin:
    body = Bulletin.of(PLATFORM, to, number, int(NOW.timestamp()), ()).to_bytes()
    by = town.platform.signing if signer == PLATFORM else town.parties[signer].signing
    return ModelBulletin(body, by.sign(REGISTRY, body), by.certificate)


def test_a_bulletin_is_believed_of_the_platform_alone_and_kept(town: ModelTown) -> None:
    town.version()
    tax = town.parties[TAX]
    tax.hear()
    assert tax.held.bulletin is not None
    number = tax.held.bulletin.number
    for wrong, wanted in (
        (bulletin(town, number + 1, signer=BANK), "SIGNER_INVALID"),
        (bulletin(town, number + 1, to=BANK), "BULLETIN_INVALID"),
        (bulletin(town, number - 1), "BULLETIN_ROLLBACK"),
        (bulletin(town, number), "BULLETIN_INVALID"),
        (replace(bulletin(town, number + 1), signature=bytes(64)), "SIGNATURE_INVALID"),
    ):
        with pytest.raises(PeerError) as found:
            run(tax.held.take(wrong))
        assert found.value.code == wanted
    again = HeldModels(tax.folder, PLATFORM, tax.signing, tax.store, tax.record)
    again.load()
    assert again.bulletin == tax.held.bulletin
    assert code(lambda: run(again.take(bulletin(town, number - 1)))) == "BULLETIN_ROLLBACK"
    path = tax.folder / "models.json"
    for data in (
        b"",
        b"[]",
        b"{}",
        b'{"body": "00"}',
        path.read_bytes().replace(b'"signature": "', b'"signature": "0'),
    ):
        path.write_bytes(data)
        again = HeldModels(tax.folder, PLATFORM, tax.signing, tax.store, tax.record)
        again.load()
        assert again.bulletin is None  # and so nothing is served until the platform is heard again


def test_a_platform_with_much_news_does_not_fill_the_log(town: ModelTown) -> None:
    tax = town.parties[TAX]
    for number, count, entries in ((1, MOST_NEWS, MOST_NEWS), (2, MOST_NEWS + 1, 1)):
        models = [Standing("sme", n, bytes([number] * 32), State.PUBLISHED, Role.NONE) for n in range(1, count + 1)]
        body = Bulletin.of(PLATFORM, TAX, number, int(NOW.timestamp()), models).to_bytes()
        by, before = town.platform.signing, len(tax.changes())
        run(tax.held.take(ModelBulletin(body, by.sign(REGISTRY, body), by.certificate)))
        assert len(tax.changes()) == before + entries
    assert tax.changes()[-1] | {"changes": MOST_NEWS + 1, "number": 2} == tax.changes()[-1]


# -- what people see --------------------------------------------------------------------------------------------------


def test_people_see_who_is_awaited_who_withdrew_and_what_was_changed(
    town: ModelTown, capsys: pytest.CaptureFixture[str]
) -> None:
    bank, tax = town.parties[BANK], town.parties[TAX]
    bank.order("publish", job=town.job(), model=MODEL)
    bank.order("approve", version=1)
    show_list(tax.shown())
    assert "waits for tax, social_insurance" in capsys.readouterr().out
    tax.order("withdraw", version=1)
    show_list(tax.shown())
    assert "withdrawn by tax; waits for social_insurance" in capsys.readouterr().out
    tax.order("approve", version=1)
    town.parties[SOCIAL].order("approve", version=1)
    bank.order("activate", version=1)
    town.platform.store.models.note_stability("sme", 1, Stability("2026-04", 0.3, 1200), {"change": "drift"})
    tax.hear()
    show_model(tax.shown("sme", 1))
    said = capsys.readouterr().out
    for text in (
        "sme 1: approved, champion",
        "600 points at 20 good to one bad, 20 double the odds; 3 reasons a party; every score lies between",
        "tax: approves",
        "served as champion",
        "2026-04: stability index 0.3000 of 1,200 scores, shifted",
        "activate 1 by bank (ann)",
        "withdraw 1 by tax",
    ):
        assert text in said
    tax.line.down = True
    show_list(tax.shown())
    assert "The platform platform cannot be reached" in capsys.readouterr().out
    show_list(town.parties[RIVAL].shown())
    assert "No models yet." in capsys.readouterr().out


def test_the_commands_say_what_is_wrong_before_they_call_anybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    assert main(["model", "approve", "sme" * 20, "1"]) == 2
    assert "not text of at most 32 characters" in capsys.readouterr().err
    assert main(["model", "approve", "sme", "1"]) == 78
    assert "NODE_UNKNOWN" in capsys.readouterr().err


def _sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
