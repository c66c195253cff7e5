"""What a party answers to a platform that is mistaken, impatient or hostile, and to everybody else."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from e2e.conftest import run_cli, write_job, write_tables

from fedcredit.errors import DataError, FedcreditError, RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.local import OPERATOR, PLATFORM, Consortium
from fedcredit.node.pki import load_credentials
from fedcredit.node.platform import make_proposal
from fedcredit.node.rpc import ControlClient
from fedcredit.node.specification import JobSpecification
from fedcredit.runtime.config import load_job
from fedcredit.transport.grpc import GrpcTransport
from fedcredit.wire.control import (
    Accepted,
    CancelJob,
    HealthReply,
    HealthRequest,
    JobEvent,
    JobOffer,
    JobSignature,
    JobSubmitted,
    ProposeJob,
    ShutdownRequest,
    SignJob,
    StartJob,
    SubmitJob,
    WatchJob,
)

pytestmark = pytest.mark.anyio
BANK, TAX = PartyId("bank"), PartyId("tax")
TIMEOUT_S = 240.0  # bounds what hangs, on a machine that has other work, too


@dataclass
class Desk:
    """A consortium whose platform is played by the test: `clients` are the platform's way to the parties."""

    consortium: Consortium
    folder: Path
    clients: dict[PartyId, ControlClient]
    addresses: dict[PartyId, str]
    transports: list[GrpcTransport]

    def client_of(self, caller: PartyId, callee: PartyId, service: str = "Party") -> ControlClient:
        """A client that calls `callee` with the certificate of `caller`."""
        keys = self.consortium.folder(caller) / "keys" if caller != OPERATOR else self.consortium.out / ".operator"
        credentials = load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem")
        address = self.consortium.children[callee].address
        transport = GrpcTransport(caller, credentials, peers={callee: address})
        self.transports.append(transport)
        return ControlClient(transport.connection(callee), service, callee)

    def proposal(self, **changes: Any) -> JobSpecification:
        """The consortium's own job, proposed anew."""
        return make_proposal(self.consortium.job.shared() | changes, PLATFORM)

    async def propose(self, proposal: JobSpecification, skew_ms: int = 0) -> dict[PartyId, JobOffer]:
        """Propose at both parties."""
        now = (await self.health(BANK)).time_ms
        request = ProposeJob(proposal.to_bytes(), canonical(self.addresses), now + skew_ms)
        return {p: await c.call("Propose", request, JobOffer, timeout_s=TIMEOUT_S) for p, c in self.clients.items()}

    async def health(self, party: PartyId) -> HealthReply:
        """The party's own word about itself."""
        return await self.clients[party].call("Health", HealthRequest(), HealthReply, timeout_s=TIMEOUT_S)

    async def agree(self, spec: JobSpecification) -> dict[PartyId, bytes]:
        """Both parties' signatures."""
        request = SignJob(spec.to_bytes())
        return {
            p: (await c.call("Sign", request, JobSignature, timeout_s=TIMEOUT_S)).signature
            for p, c in self.clients.items()
        }

    async def start(self, party: PartyId, spec: JobSpecification, signatures: dict[PartyId, bytes]) -> None:
        """Start the job at one party."""
        shown = canonical({p: s.hex() for p, s in signatures.items()})
        await self.clients[party].call("Start", StartJob(spec.hash, shown), Accepted, timeout_s=TIMEOUT_S)

    async def cancel(self, party: PartyId, spec: JobSpecification) -> None:
        """Cancel the job at one party."""
        await self.clients[party].call("Cancel", CancelJob(spec.id, "CANCELLED"), Accepted, timeout_s=TIMEOUT_S)

    async def until(self, party: PartyId, spec: JobSpecification, kind: str, stage: str) -> JobEvent:
        """The first such event of the job at one party."""
        async for event in self.clients[party].stream("Watch", WatchJob(spec.id, 0), JobEvent, timeout_s=TIMEOUT_S):
            if (event.kind, event.stage) == (kind, stage):
                return event
        raise AssertionError(f"{spec.id} ended without {kind} {stage}")

    async def end(self, party: PartyId, spec: JobSpecification) -> JobEvent:
        """The last event of the job at one party."""
        events = [
            event
            async for event in self.clients[party].stream("Watch", WatchJob(spec.id, 0), JobEvent, timeout_s=TIMEOUT_S)
        ]
        return events[-1]


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Desk]:
    write_tables(folder, {"bank": (0, 400), "tax": (100, 500)})
    async with Consortium(load_job(write_job(folder, ["bank", "tax"])), folder / "out") as consortium:
        made = Desk(consortium, folder, {}, {p: consortium.children[p].address for p in (BANK, TAX)}, [])
        made.clients = {party: made.client_of(PLATFORM, party) for party in (BANK, TAX)}
        yield made
        for transport in made.transports:
            await transport.close()


@pytest.fixture(scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:
    """A consortium for tests that leave it as it was."""
    async with opened(tmp_path_factory.mktemp("desk")) as made:
        yield made


@pytest.fixture
async def own_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A consortium for one test that breaks something."""
    async with opened(tmp_path) as made:
        yield made


def final(proposal: JobSpecification, offers: dict[PartyId, JobOffer]) -> JobSpecification:
    return proposal.with_offers(
        {
            party: proposal.party(party).offering(
                rows=offer.rows,
                features=offer.features,
                commitment=offer.commitment,
                subjects=offer.subjects,
                certificate=offer.certificate,
                unbalanced=offer.unbalanced,
            )
            for party, offer in offers.items()
        }
    )


async def refusal(work: Any) -> FedcreditError:
    with pytest.raises(FedcreditError) as refused:
        await work
    return refused.value


async def test_an_agreement_step_by_step(desk: Desk) -> None:
    proposal = desk.proposal()
    offers = await desk.propose(proposal)
    assert (offers[BANK].rows, offers[BANK].features, offers[TAX].features) == (400, 2, 2)

    # Asked again, a party gives the same offer; asked something else under the same name, it refuses.
    assert await desk.propose(proposal) == offers
    other = proposal.model_copy(update={"nonce": "11" * 32})
    assert (await refusal(desk.propose(other))).code == "CONFLICT"

    # What is to be signed is what was proposed, with everybody's own offer in it.
    spec = final(proposal, offers)
    for changed in (
        spec.model_copy(update={"intersect": spec.intersect.model_copy(update={"min_size": 10})}),
        spec.model_copy(update={"leakage": ()}),
        spec.with_offers({p: e.model_copy(update={"rows": None}) for p in (BANK, TAX) for e in [spec.party(p)]}),
        spec.with_offers(
            {p: e.model_copy(update={"commitment": "00" * 32}) for p in (BANK, TAX) for e in [spec.party(p)]}
        ),
    ):
        error = await refusal(desk.agree(changed))
        assert (error.code, error.exit_status) == ("SPEC_CHANGED", 76)
    signatures = await desk.agree(spec)

    # Nobody works until all have signed this hash.
    assert (await refusal(desk.start(BANK, spec, {BANK: signatures[BANK]}))).code == "SIGNATURE_MISSING"
    crossed = {BANK: signatures[TAX], TAX: signatures[BANK]}
    assert (await refusal(desk.start(BANK, spec, crossed))).code == "SIGNATURE_INVALID"
    unknown = spec.model_copy(update={"nonce": "22" * 32})
    assert (await refusal(desk.start(BANK, unknown, signatures))).code == "SPEC_UNKNOWN"

    for party in (BANK, TAX):
        await desk.start(party, spec, signatures)
    await desk.start(BANK, spec, signatures)
    for party in (BANK, TAX):
        assert (await desk.end(party, spec)).stage == "succeeded"
    result = desk.consortium.folder(BANK) / "jobs" / spec.id / "result"
    assert json.loads((result / "metrics.json").read_text())["rows"]["aligned"] == 300
    assert (result / "specification.json").read_bytes() == spec.to_bytes()


@pytest.mark.slow
async def test_a_table_that_changed_since_the_agreement_is_refused(own_desk: Desk) -> None:
    proposal = own_desk.proposal()
    spec = final(proposal, await own_desk.propose(proposal))
    signatures = await own_desk.agree(spec)
    with (own_desk.folder / "tax.csv").open("a") as file:
        file.write("000000000999,1.0,1\n")
    await own_desk.start(TAX, spec, signatures)
    end = await own_desk.end(TAX, spec)
    assert (end.stage, end.code, end.exit_status) == ("failed", "DATASET_CHANGED", DataError.exit_status)
    written = json.loads((own_desk.consortium.folder(TAX) / "jobs" / spec.id / "failure.json").read_text())
    assert written["problems"][0]["where"] == "tax.csv"
    # Whoever begins now hears that it is over there, and waits for the platform's word on what that means.
    await own_desk.start(BANK, spec, signatures)
    waits = await own_desk.until(BANK, spec, "state", "waiting")
    assert (waits.code, waits.culprit) == ("PEER_LOST", TAX)
    await own_desk.cancel(BANK, spec)
    ended = await own_desk.end(BANK, spec)
    assert (ended.stage, ended.code) == ("cancelled", "CANCELLED")


async def test_a_job_is_cancelled_in_its_middle(desk: Desk) -> None:
    proposal = desk.proposal()
    spec = final(proposal, await desk.propose(proposal))
    await desk.start(BANK, spec, await desk.agree(spec))
    # The tax office has agreed and not begun, so the bank waits for it in the first stage that takes two.
    await desk.until(BANK, spec, "begun", "align")
    for _ in range(2):
        for party in (BANK, TAX):
            await desk.cancel(party, spec)
    for party in (BANK, TAX):
        end = await desk.end(party, spec)
        assert (end.stage, end.code) == ("cancelled", "CANCELLED")


async def test_what_a_party_does_not_offer(desk: Desk) -> None:
    for proposal, code in (
        (desk.proposal().model_copy(update={"protocols": {"frame": 99}}), "INCOMPATIBLE"),
        (desk.proposal().model_copy(update={"leakage": ()}), "LEAKAGE_MISSTATED"),
        (desk.proposal().model_copy(update={"platform": "elsewhere"}), "SPEC_INVALID"),
    ):
        error = await refusal(desk.propose(proposal))
        assert (error.code, error.exit_status) == (code, RefusedError.exit_status)
    model = {"kind": "gbdt", "name": "gbdt.0", "groupsum": "auto", "hide_nodes": False, "params": {"num_tree": 5}}
    swapped = [{"id": "bank", "role": "feature"}, {"id": "tax", "role": "label"}]
    modelling = desk.proposal(models=[model | {"params": {}}], split={"holdout": 0.2}, parties=swapped)
    assert (await refusal(desk.propose(modelling))).code == "ROLE_MISMATCH"
    misspelt = desk.proposal(models=[model], split={"holdout": 0.2})
    assert (await refusal(desk.propose(misspelt))).code == "CONFIG_UNKNOWN_KEY"
    assert (await refusal(desk.propose(desk.proposal(), skew_ms=90_000))).code == "CLOCK_SKEW"


async def test_only_the_platform_may_ask_a_party(desk: Desk) -> None:
    proposal = desk.proposal()
    requests = {
        "Propose": ProposeJob(proposal.to_bytes(), b"{}", 0),
        "Sign": SignJob(proposal.to_bytes()),
        "Start": StartJob(b"s" * 32, b"{}"),
        "Cancel": CancelJob(proposal.id, "CANCELLED"),
    }
    for caller in (TAX, OPERATOR):
        client = desk.client_of(caller, BANK)
        for method, request in requests.items():
            error = await refusal(client.call(method, request, Accepted, timeout_s=TIMEOUT_S))
            assert (error.code, type(error)) == ("PERMISSION_DENIED", RefusedError)
    # A member hands in jobs in which it takes part; only operators stop the platform.
    others = desk.consortium.job.shared() | {
        "parties": [{"id": "bank", "role": "label"}, {"id": "registry", "role": "feature"}]
    }
    client = desk.client_of(TAX, PLATFORM, "Platform")
    error = await refusal(client.call("Submit", SubmitJob(canonical(others), "r"), JobSubmitted, timeout_s=TIMEOUT_S))
    assert error.code == "PERMISSION_DENIED"
    error = await refusal(client.call("Stop", ShutdownRequest(), Accepted, timeout_s=TIMEOUT_S))
    assert error.code == "PERMISSION_DENIED"
    # The platform may propose to a party, and may not end its process.
    error = await refusal(desk.clients[TAX].call("Shutdown", ShutdownRequest(), Accepted, timeout_s=TIMEOUT_S))
    assert error.code == "PERMISSION_DENIED"


async def test_malformed_calls_are_refused(desk: Desk) -> None:
    connection = desk.transports[0].connection(BANK)
    for method, data, status in (
        ("/fedcredit.v1.Party/Reboot", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/fedcredit.v1.Nothing/Start", b"", grpc.StatusCode.UNIMPLEMENTED),
        ("/fedcredit.v1.Party/Start", b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("/fedcredit.v1.Party/Start", b"", grpc.StatusCode.INVALID_ARGUMENT),
        ("/fedcredit.v1.Party/Sign", SignJob(b"{}").encode(), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await connection.unary_unary(method)(data, timeout=TIMEOUT_S)
        assert refused.value.code() == status, method
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await connection.unary_unary("/fedcredit.v1.Party/Health")(b"")
    assert refused.value.details() == "DEADLINE_REQUIRED"
    unknown = WatchJob("no-such-job", 0)
    with pytest.raises(RefusedError, match="JOB_UNKNOWN"):
        async for _ in desk.clients[BANK].stream("Watch", unknown, JobEvent, timeout_s=TIMEOUT_S):
            pass


async def test_a_submission_is_one_job_however_often_it_is_sent(desk: Desk) -> None:
    client = desk.client_of(OPERATOR, PLATFORM, "Platform")
    definition = canonical(desk.consortium.job.shared())
    first = await client.call("Submit", SubmitJob(definition, "one"), JobSubmitted, timeout_s=TIMEOUT_S)
    assert await client.call("Submit", SubmitJob(definition, "one"), JobSubmitted, timeout_s=TIMEOUT_S) == first
    other = SubmitJob(canonical(desk.consortium.job.shared() | {"split": {"holdout": 0.3}}), "one")
    assert (await refusal(client.call("Submit", other, JobSubmitted, timeout_s=TIMEOUT_S))).code == "CONFLICT"
    stranger = desk.consortium.job.shared()
    stranger["parties"] = [*stranger["parties"], {"id": "stranger", "role": "feature"}]
    unknown = SubmitJob(canonical(stranger), "two")
    assert (await refusal(client.call("Submit", unknown, JobSubmitted, timeout_s=TIMEOUT_S))).code == "PEER_UNKNOWN"
    async for event in client.stream("WatchAll", WatchJob(first.job, 0), JobEvent, timeout_s=TIMEOUT_S):
        last = event
    assert (last.party, last.stage) == (PLATFORM, "succeeded")


@pytest.mark.slow
async def test_a_node_stops_cleanly_and_runs_once(own_desk: Desk) -> None:
    folder = own_desk.consortium.folder(TAX)
    second = run_cli("node", "up", folder)
    assert second.returncode == 78
    assert "LOCKED" in second.stderr
    assert "process" in second.stderr
    checked = run_cli("party", "check", folder)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.startswith("tax: ok")
    assert "400 rows and 2 features" in checked.stdout

    taken = own_desk.consortium.children[BANK].address.rpartition(":")[2]
    os.kill(json.loads((folder / "ready.json").read_text())["pid"], signal.SIGTERM)
    assert await own_desk.consortium.children[TAX].process.wait() == 0
    assert not (folder / "ready.json").exists()

    text = (folder / "party.toml").read_text()
    (folder / "party.toml").write_text(text.replace('"port" = 0', f'"port" = {taken}'))
    clash = run_cli("node", "up", folder)
    assert clash.returncode == 78
    assert "PORT_IN_USE" in clash.stderr

    (folder / "party.toml").write_text(text.replace('"tax"', '"registry"'))
    stranger = run_cli("party", "check", folder)
    assert stranger.returncode == 78
    assert "TLS_IDENTITY" in stranger.stderr
    assert "SIGNING_KEY" in stranger.stderr
