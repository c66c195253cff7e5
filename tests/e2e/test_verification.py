"""Questions over real processes: two utilities by two catalogs, banks with and without consent, one that bisects."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from e2e.conftest import ROOT, run_cli
from e2e.verify_town import (
    DRY,
    ELSEWHERE,
    OWING,
    PAYING,
    STRANGER,
    VerifyTown,
    asked,
    membership_of,
    recorded,
    verify_town,
)

from fedcredit.errors import ConfigError, DataError, FedcreditError, RefusedError
from fedcredit.governance.consent.token import Envelope, encode
from fedcredit.ids import PartyId
from fedcredit.node.membership.asking import Sighting, looked_up
from fedcredit.node.own_node import OwnNode
from fedcredit.node.trust.confirm import distrust
from fedcredit.node.verification.uses import uses_of
from fedcredit.runtime.config import load_party
from fedcredit.wire.membership import EvaluatedMembers
from fedcredit.wire.verification import NONCE_BYTES, Kind, Question, VerifyRequest

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

VERIFY = "/fedcredit.v1.VerificationService/Verify"


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[VerifyTown]:
    async with verify_town(tmp_path_factory.mktemp("town")) as made:
        yield made


async def answer(town: VerifyTown, utility: str, question: Question, consent: str, asker: str = "bank") -> str:
    """What comes of a question, with its proof checked."""
    async with town.client(utility, asker) as client:
        found, _ = await client.ask(question, "financing", consent)
    return found.outcome.name.lower()


async def refusal(
    town: VerifyTown, question: Question, consent: str, *, purpose: str = "financing", asker: str = "bank"
) -> tuple[Any, ...]:
    """All that Nanjing's utility shows of its refusal: status, message, metadata of both ends, and their sizes."""
    async with town.client("nanjing_water", asker) as client:
        call = client._connection.unary_unary(VERIFY)
        request = VerifyRequest(question, purpose, consent, secrets.token_bytes(NONCE_BYTES)).encode()
        begun = call(request, timeout=30)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await begun
        error = refused.value
        seen = sorted((str(key), str(value)) for key, value in (*error.initial_metadata(), *error.trailing_metadata()))
        return error.code(), error.details(), tuple(seen)


def reasons(town: VerifyTown, since: int) -> list[str]:
    """Why Nanjing's utility refused, by its own log, from an entry on."""
    return [str(fact["reason"]) for fact in town.facts("nanjing_water")[since:] if fact["event"] == "verify_refused"]


async def test_two_regions_answer_by_their_own_catalogs(town: VerifyTown) -> None:
    nanjing, jining = town.token(), town.token(region="jining", items=("water_fee",))
    for utility in ("nanjing_water", "jining_water"):
        found = [
            await answer(
                town,
                utility,
                asked("water_in_arrears", code),
                town.token(subject=code, region=utility.partition("_")[0]),
            )
            for code in (OWING, PAYING, STRANGER)
        ]
        assert found == ["yes", "no", "unknown"], utility
    # Nanjing's catalog has the arrears as an item of their own, which its utility answers about; Jining's has none.
    assert await answer(town, "nanjing_water", asked("water_no_open_arrears"), nanjing) == "no"
    with pytest.raises(RefusedError, match="VERIFY_REFUSED"):
        await answer(town, "jining_water", asked("water_no_open_arrears"), jining)
    # A consent is for a region: what was allowed in Nanjing was not allowed in Jining.
    with pytest.raises(RefusedError, match="VERIFY_REFUSED"):
        await answer(town, "jining_water", asked("water_in_arrears"), nanjing)
    shown = {one: run_cli("catalog", "show", one, "water_fee").stdout for one in ("nanjing", "jining")}
    assert "before sharing: nobody" in shown["nanjing"]
    assert "before sharing: enterprise" in shown["jining"]


async def test_whatever_is_wrong_with_a_consent_looks_the_same_from_outside(town: VerifyTown) -> None:
    question = asked("water_in_use", PAYING)

    def good(**changed: Any) -> str:
        return town.token(**{"subject": PAYING, **changed})

    now = int(time.time())
    once = good(max_uses=1)
    assert await answer(town, "nanjing_water", question, once) == "yes"
    stranger = Ed25519PrivateKey.generate()
    forged = encode(town.consent(subject=PAYING), stranger.public_key().public_bytes_raw(), stranger.sign)
    revoked = await _revoked(town)
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "consent_missing": ("", {}),
        "token_malformed": (good()[:-2], {}),
        "consent_issuer": (forged, {}),
        "consent_signature": (good()[:-8] + "AAAAAAAA", {}),
        "consent_expired": (good(not_before=now - 7200, expires=now - 3600), {}),
        "consent_not_yet": (good(not_before=now + 3600, expires=now + 7200), {}),
        "consent_audience": (good(providers=("jining_water",)), {}),
        "consent_binding": (good(authority=town.authority("rival")), {}),
        "consent_subject": (good(subject=OWING), {}),
        "consent_purpose": (good(purpose="supervision"), {}),
        "consent_region": (good(region="jining"), {}),
        "consent_scope": (good(items=("gas_fee",)), {}),
        "consent_revoked": (revoked, {}),
        "consent_used_up": (once, {}),
        "no_rule": (good(), {"purpose": "research"}),
        "predicate": (good(), {"question": Question(PAYING, Kind("no_such_question"))}),
    }
    since = len(town.facts("nanjing_water"))
    seen = {
        reason: await refusal(town, how.pop("question", question), consent, **how)
        for reason, (consent, how) in cases.items()
    }
    replayed = await refusal(town, question, good(), asker="rival")
    assert set(seen.values()) == {replayed}
    assert replayed[:2] == (grpc.StatusCode.PERMISSION_DENIED, "VERIFY_REFUSED")
    assert reasons(town, since) == [*cases, "consent_binding"]
    # Nor does it show whether the subject is known at all.
    assert await refusal(town, asked("water_in_use", STRANGER), "") == replayed


async def _revoked(town: VerifyTown) -> str:
    """A consent that was given and taken back at the platform, as Nanjing's utility has heard by now."""
    people = town.folder / "platform"
    password = town.folder / "password"
    password.write_text("correct horse battery\n")
    password.chmod(0o600)
    login = ("--account", "ann", "--password-file", str(password), "--node", str(people))
    added = run_cli(
        "consent",
        "account",
        "add",
        "ann",
        "--kind",
        "enterprise",
        "--subject",
        PAYING,
        "--node",
        people,
        "--password-file",
        password,
    )
    assert added.returncode == 0, added.stderr
    terms = ("--subject", PAYING, "--requester", "bank", "--provider", "nanjing_water", "--region", "nanjing")
    issued = run_cli("consent", "issue", *terms, "--item", "water_fee", "--uses", "100000", "--yes", *login)
    assert issued.returncode == 0, issued.stderr
    token = issued.stdout.strip()
    assert await answer(town, "nanjing_water", asked("water_in_use", PAYING), token) == "yes"
    withdrawn = run_cli("consent", "revoke", Envelope.read(token).claims().jti, *login)
    assert withdrawn.returncode == 0, withdrawn.stderr
    async with asyncio.timeout(240):
        while True:
            since = len(town.facts("nanjing_water"))
            try:
                # Every question that comes before the revocation uses the consent: it has more uses than can be asked.
                await answer(town, "nanjing_water", asked("water_in_use", PAYING), token)
            except RefusedError:
                # What was refused meanwhile is none of the cases that are counted.
                assert reasons(town, since) == ["consent_revoked"]
                return token
            await asyncio.sleep(0.1)


async def test_a_bank_that_bisects_is_stopped_by_ladder_and_budget(town: VerifyTown) -> None:
    consent = town.token(subject=PAYING)
    since = len(town.facts("nanjing_water"))

    def rung(n: float) -> Question:
        return asked("water_arrears_count", PAYING, n=n)

    # Between the rungs nobody is answered, and of the rungs the budget lets two be asked.
    await refusal(town, rung(2), consent)
    assert await answer(town, "nanjing_water", rung(0), consent) == "no"
    assert await answer(town, "nanjing_water", rung(0), consent) == "no"
    assert await answer(town, "nanjing_water", rung(1), consent) == "yes"
    await refusal(town, rung(3), consent)
    assert reasons(town, since) == ["ladder", "budget"]
    # A budget is for one requester and subject: it outlives a fresh consent, and the process.
    child = town.children[PartyId("nanjing_water")]
    os.kill(child.process.pid, signal.SIGKILL)
    await asyncio.wait_for(child.process.wait(), 240)
    log = town.folder / "nanjing_water.log"
    before = log.stat().st_size
    await town.up("nanjing_water")
    await town.ready("nanjing_water")
    await refusal(town, rung(3), town.token(subject=PAYING))
    # It goes on with the index files of the process that was killed, before it has read a table.
    said = [json.loads(line) for line in log.read_bytes()[before:].splitlines()]
    (known,) = (line for line in said if line["event"] == "verify.tables_known")
    assert known["rows"] == 6
    assert reasons(town, since)[-1] == "budget"
    explained = run_cli(
        "policy",
        "explain",
        "--node",
        town.folder / "nanjing_water",
        "--predicate",
        "water_arrears_count",
        "--param",
        "n=3",
        "--requester",
        "bank",
        "--subject",
        PAYING,
        "--json",
    )
    assert explained.returncode == 77
    assert json.loads(explained.stdout)["reasons"][0]["code"] == "QUESTION_BUDGET"
    assert PAYING not in explained.stdout + explained.stderr


async def test_a_disk_without_room_ends_the_answers_and_loses_none(town: VerifyTown, tmp_path: Path) -> None:
    utility, question = town.folder / "nanjing_water", asked("water_in_arrears", DRY)
    consent = town.token(subject=DRY)
    assert await answer(town, "nanjing_water", question, consent) == "no"
    acknowledged = town.facts("nanjing_water")
    child = town.children[PartyId("nanjing_water")]
    # What the process may write to a file ends before what it has written.
    _, most = resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(child.process.pid, resource.RLIMIT_FSIZE, (1, most))
    # Not even a refusal, which is recorded too.
    for asking in (consent, ""):
        assert (await refusal(town, question, asking))[0] is grpc.StatusCode.UNAVAILABLE
    async with asyncio.timeout(240), OwnNode(load_party(utility)) as node:
        while "VERIFY_UNAVAILABLE" not in (said := await node.health())[1]:  # noqa: ASYNC110 - it looks now and then
            await asyncio.sleep(0.1)
    assert not said[0]
    (tmp_path / "consent").write_text(consent)
    address = json.loads((utility / "ready.json").read_text())["verify"]
    told = await asyncio.to_thread(
        run_cli,
        "verify",
        "--provider",
        f"nanjing_water={address}",
        "--certificate",
        utility / "keys" / "signing.crt",
        "--node",
        town.folder / "bank",
        "--predicate",
        "water_in_arrears",
        "--subject",
        DRY,
        "--consent",
        tmp_path / "consent",
    )
    assert told.returncode == 69
    assert "nanjing_water" in told.stderr
    os.kill(child.process.pid, signal.SIGTERM)
    await asyncio.wait_for(child.process.wait(), 240)
    assert town.facts("nanjing_water") == acknowledged
    # With room again it goes on where it was.
    await town.up("nanjing_water")
    await town.ready("nanjing_water")
    assert await answer(town, "nanjing_water", question, consent) == "no"
    kept = town.facts("nanjing_water")
    assert kept[:-1] == acknowledged
    assert kept[-1]["event"] == "verified"
    checked = await asyncio.to_thread(run_cli, "audit", "verify", utility / "verify")
    assert checked.returncode == 0, checked.stderr


async def test_a_file_of_subjects_and_a_proof_that_stands_alone(town: VerifyTown, tmp_path: Path) -> None:
    utility, bank = town.folder / "jining_water", town.folder / "bank"
    codes = (OWING, PAYING, DRY)
    rows = [f"{code},{town.token(subject=code, region='jining', items=('water_fee',))}" for code in codes]
    (tmp_path / "clients.csv").write_text("uscc,consent\n" + "\n".join([*rows, f"{STRANGER},"]) + "\n")
    signer = utility / "keys" / "signing.crt"
    address = json.loads((utility / "ready.json").read_text())["verify"]
    where = ("--provider", f"jining_water={address}", "--certificate", signer, "--node", bank)
    done = await asyncio.to_thread(
        run_cli,
        "verify",
        *where,
        "--predicate",
        "water_in_use",
        "--subjects",
        tmp_path / "clients.csv",
        "--out",
        tmp_path / "answers.csv",
        "--proof",
        tmp_path / "answers.jsonl",
        "--batch",
        "2",
    )
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "answers.csv").read_text().split()
    assert [line.split(",")[2] for line in lines[1:]] == ["yes", "yes", "no", "refused"]
    assert lines[1].split(",")[3] == "2026-04-30"
    (tmp_path / "consent").write_text(rows[0].partition(",")[2])
    one = await asyncio.to_thread(
        run_cli,
        "verify",
        *where,
        "--predicate",
        "water_in_arrears",
        "--subject",
        OWING,
        "--consent",
        tmp_path / "consent",
        "--proof",
        tmp_path / "answer.json",
        "--json",
    )
    assert one.returncode == 0, one.stderr
    assert json.loads(one.stdout)["outcome"] == "yes"
    for proof in ("answer.json", "answers.jsonl"):
        checked = run_cli("verify", "--check", tmp_path / proof, "--certificate", signer)
        assert checked.returncode == 0, checked.stderr
        other = town.folder / "nanjing_water" / "keys" / "signing.crt"
        assert run_cli("verify", "--check", tmp_path / proof, "--certificate", other).returncode == 76

    assert _checked_alone(tmp_path / "answer.json", signer) == "jining_water answered: OUTCOME_YES\n"

    report = run_cli("usage", "report", "--node", utility, "--json", "--send")
    assert report.returncode == 0, report.stderr
    found = json.loads(report.stdout)["rows"]
    assert {row["requester"] for row in found} == {"bank"}
    # Other tests may have asked before, so there may be more.
    assert {row["outcome"] for row in found} >= {"yes", "no", "refused"}
    assert OWING not in report.stdout
    at_platform = run_cli("usage", "report", "--node", town.folder / "platform", "--json")
    assert json.loads(at_platform.stdout)["rows"] == found
    about = run_cli("usage", "report", "--node", utility, "--subject", OWING, "--json")
    assert {use["requester"] for use in json.loads(about.stdout)["uses"]} == {"bank"}
    assert run_cli("audit", "verify", utility / "verify").returncode == 0
    assert OWING not in (utility / "verify" / "audit" / "entries.jsonl").read_text()


async def test_a_file_asked_privately_has_the_same_outcomes_and_shows_whom_the_table_has(
    town: VerifyTown, tmp_path: Path
) -> None:
    utility, bank = town.folder / "jining_water", town.folder / "bank"

    def token(code: str, **changed: Any) -> str:
        return town.token(**{"subject": code, "region": "jining", "items": ("water_fee",), **changed})

    rows = [
        (OWING, token(OWING)),
        (STRANGER, token(STRANGER)),
        (PAYING, ""),
        (DRY, token(DRY)),
        (ELSEWHERE, token(ELSEWHERE)),
        (ELSEWHERE, token(ELSEWHERE, authority=town.authority("rival"))),
        (STRANGER, token(OWING)),
        (DRY, token(DRY, expires=int(time.time()) - 120, not_before=int(time.time()) - 600)),
        (STRANGER, token(STRANGER, region="nanjing")),
    ]
    (tmp_path / "clients.csv").write_text("uscc,consent\n" + "".join(f"{code},{given}\n" for code, given in rows))
    address = json.loads((utility / "ready.json").read_text())["verify"]
    arguments = ("--provider", f"jining_water={address}", "--certificate", utility / "keys" / "signing.crt")
    arguments += ("--node", bank, "--predicate", "water_in_use", "--subjects", tmp_path / "clients.csv", "--out")
    plain = await asyncio.to_thread(run_cli, "verify", *arguments, tmp_path / "plain.csv")
    since = len(list(uses_of(load_party(utility))))
    hidden = await asyncio.to_thread(run_cli, "verify", *arguments, tmp_path / "hidden.csv", "--private")
    assert (plain.returncode, hidden.returncode) == (0, 0), hidden.stderr
    openly, privately = ((tmp_path / name).read_text().splitlines() for name in ("plain.csv", "hidden.csv"))
    assert [line.split(",")[:3] for line in privately] == [line.split(",")[:3] for line in openly]
    told = {line.split(",")[5] for line in privately if line.split(",")[2] == "unknown"}
    assert told == {"not in the provider's table"}
    assert openly[1] + ",signed answer" == privately[1]
    # Only who is in the table was asked about; of the others the utility has heard how many had their consent taken.
    assert [use.outcome for use in list(uses_of(load_party(utility)))[since:]] == ["yes", "no"]
    (seen,) = town.entries("jining_water", "membership_asked")
    assert {name: seen[name] for name in ("requester", "item", "asked")} == {
        "requester": "bank",
        "item": "water_fee",
        "asked": 4,
    }
    (permitted,) = town.entries("platform", "membership_permitted")
    assert (permitted["permit"], permitted["permitted"]) == (seen["permit"], 4)
    logs = [(town.folder / name / "audit" / "entries.jsonl").read_text() for name in ("jining_water", "platform")]
    assert not any(code in log for code, _ in rows for log in logs)


async def test_nothing_is_evaluated_without_a_permit_of_its_own(town: VerifyTown) -> None:
    config, utility = load_party(town.folder / "bank"), PartyId("jining_water")
    given = [(code, town.token(subject=code, region="jining", items=("water_fee",))) for code in (DRY, STRANGER)]

    async def seen(predicate: str, pairs: list[tuple[str, str]], purpose: str = "financing") -> list[Sighting]:
        return await looked_up(config, utility, predicate, purpose, pairs)

    assert await seen("water_in_use", given) == [Sighting.PRESENT, Sighting.ABSENT]
    # Nobody's consent, no permit; without a permit the utility is not even called.
    assert await seen("water_in_use", [(PAYING, "")]) == [Sighting.REFUSED]
    for predicate, purpose in (("water_in_use", "research"), ("water_no_open_arrears", "financing")):
        with pytest.raises(RefusedError, match="MEMBERSHIP_REFUSED"):
            await seen(predicate, given, purpose)
    own = Ed25519PrivateKey.generate()
    claims = town.consent(subject=DRY, region="jining", items=("water_fee",), issuer="enterprise")
    with pytest.raises(DataError, match="PRIVATE_CONSENT"):
        await seen("water_in_use", [(DRY, encode(claims, own.public_key().public_bytes_raw(), own.sign))])
    with pytest.raises(ConfigError, match="PEER_UNKNOWN"):
        await looked_up(config, PartyId("elsewhere"), "water_in_use", "financing", given)
    before = len(town.entries("jining_water", "membership_asked"))
    async with membership_of(town, "jining_water") as (caller, role):
        terms = await caller.drive(role.terms())
        current = await caller.drive(role.fetch(terms, None))
        used = await caller.drive(recorded(role.ask(terms, current, given)))
        replays = [used, replace(used, points=used.points[::-1].copy()), replace(used, signature=bytes(64))]
        for message in replays:
            with pytest.raises(RefusedError, match="MEMBERSHIP_REFUSED"):
                await caller.provider.call("Evaluate", message, EvaluatedMembers, timeout_s=30)
        # A permit that was used stays used, whatever happens to the process.
        child = town.children[utility]
        os.kill(child.process.pid, signal.SIGKILL)
        await asyncio.wait_for(child.process.wait(), 240)
        await town.up("jining_water")
        await town.ready("jining_water")
        with pytest.raises(RefusedError, match="MEMBERSHIP_REFUSED"):
            await caller.provider.call("Evaluate", used, EvaluatedMembers, timeout_s=30)
    assert len(town.entries("jining_water", "membership_asked")) == before + 1
    # What the policy grants for a day is counted over all of this.
    spent = sum(entry["asked"] for entry in town.entries("jining_water", "membership_asked"))
    for _ in range((12 - spent) // len(given)):
        await seen("water_in_use", given)
    with pytest.raises(RefusedError, match="MEMBERSHIP_REFUSED"):
        await seen("water_in_use", given)
    assert sum(entry["asked"] for entry in town.entries("jining_water", "membership_asked")) == 12


async def test_tables_policies_and_members_change_while_it_answers(town: VerifyTown) -> None:
    utility = town.folder / "jining_water"
    consent = town.token(subject=DRY, region="jining", items=("water_fee",))
    table, policy = utility / "water.csv", utility / "policy.toml"
    before, rules = table.read_text(), policy.read_text()
    assert await answer(town, "jining_water", asked("water_in_arrears", DRY), consent) == "no"

    table.write_text(before.replace(f"{DRY},false", f"{DRY},true"))
    refreshed = await asyncio.to_thread(run_cli, "node", "refresh", utility)
    assert refreshed.returncode == 0, refreshed.stderr
    assert "3 records of 3 subjects" in refreshed.stdout
    # The same question on the same day has the answer that it had: asking again tells nothing new.
    assert await answer(town, "jining_water", asked("water_in_arrears", DRY), consent) == "no"
    assert (
        await answer(
            town,
            "jining_water",
            asked("water_in_arrears", DRY),
            town.token(subject=DRY, region="jining", requester="rival", authority=town.authority("rival")),
            asker="rival",
        )
        == "yes"
    )

    table.write_text(before.replace("false", "maybe"))
    broken = await asyncio.to_thread(run_cli, "node", "refresh", utility)
    assert broken.returncode == 65
    assert "VALUE_INVALID" in broken.stderr
    assert await answer(town, "jining_water", asked("water_in_arrears", DRY), consent) == "no"
    table.write_text(before)

    policy.write_text(rules.replace('action = "admit"', 'action = "admitt"'))
    await _until_refused(town, consent)
    policy.write_text(rules)
    async with asyncio.timeout(240):
        while await _refused(town, consent):  # noqa: ASYNC110
            await asyncio.sleep(0.1)

    distrust(utility, "bank", "test")
    async with asyncio.timeout(240):
        while True:
            try:
                await answer(town, "jining_water", asked("water_in_arrears", DRY), consent)
            except RefusedError:
                raise AssertionError("a party that is not believed is not even refused") from None
            except FedcreditError:
                break
            await asyncio.sleep(0.1)


async def _refused(town: VerifyTown, consent: str) -> bool:
    try:
        await answer(town, "jining_water", asked("water_in_arrears", DRY), consent)
    except RefusedError:
        return True
    return False


async def _until_refused(town: VerifyTown, consent: str) -> None:
    async with asyncio.timeout(240):
        while not await _refused(town, consent):  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def _checked_alone(proof: Path, signer: Path) -> str:
    """What the example says of a proof, with nothing of the provider's but its certificate."""
    example = ROOT / "examples" / "01_verification" / "check_answer.py"
    command = [sys.executable, str(example), str(proof), str(signer)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True, cwd=ROOT).stdout
