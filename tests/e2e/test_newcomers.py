"""An installation in which one department only dials out: it joins, works, and outlives restarts and lost trust."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta

import pytest
from cryptography import x509
from e2e.conftest import run_cli, write_job
from e2e.newcomers import BANK, PARTIES, PLATFORM, REGISTRY, TAX, Newcomers, newcomers

from fedcredit.node.durable_files import replace_file
from fedcredit.node.local import simulate
from fedcredit.node.pki import LOOPBACK, Authority, load_certificate, private_pem
from fedcredit.node.trust.confirm import believe, distrust, renew, revoke
from fedcredit.node.trust.folder import fingerprint
from fedcredit.node.trust.members import revoke_member
from fedcredit.runtime.config import load_job

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

SIZES = {"bank": (0, 400), "tax": (100, 450), "registry": (150, 500)}
TREES = 16
MODEL = f"""
[split]
holdout = 0.25
[[model]]
kind = "gbdt"
num_trees = {TREES}
max_depth = 2
max_bin = 8
"""
FIRST = "gbdt.0/tree.1"
MANY = 300
"""Trees of a job that does not come to its end."""

# At the registry each stage takes a while, so that a job can be met in its middle.
PLANS = {"registry": "job.stage.begun=sleep(0.5)"}


@pytest.fixture(scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Newcomers]:
    async with newcomers(tmp_path_factory.mktemp("place"), SIZES, PLANS) as made:
        yield made


@pytest.fixture(scope="module")
async def wanted(place: Newcomers) -> dict[str, bytes]:
    """The model of direct links and no interruption."""
    out = place.folder / "direct"
    await simulate(load_job(write_job(place.folder, list(PARTIES), MODEL)), out)
    found = {
        f"{party}/{path.name}": path.read_bytes()
        for party in PARTIES
        for path in (out / "parties" / party / "model").rglob("*")
        if path.is_file()
    }
    assert {name.split("/")[0] for name in found} == set(PARTIES)
    return found


async def submit(place: Newcomers, trees: int = TREES) -> str:
    """Hand a job in as the bank; its name."""
    path = write_job(place.folder, list(PARTIES), MODEL.replace(f"num_trees = {TREES}", f"num_trees = {trees}"))
    return await place.operator.submit(load_job(path).shared())


async def test_a_relayed_department_joins_and_its_people_run_it(place: Newcomers, wanted: dict[str, bytes]) -> None:
    tax, bank = place.folder / "tax", place.folder / "bank"
    ready = json.loads((tax / "ready.json").read_text())
    assert ready["address"] == "relay://tax"
    assert ready["local"].startswith("unix:")
    assert run_cli("node", "status", tax, "--wait", "240").stdout == "tax: ready\n"
    place.policy(TAX, "approve")
    job_file = place.folder / "NAMED.toml"
    seats = [f'[parties.{party}]\ntable = "main"\n' for party in PARTIES]
    seats[0] += 'role = "label"\n'
    job_file.write_text("\n".join(['[job]\nname = "small"\npurpose = "research"\nseed = 7', *seats, MODEL]))
    handed = run_cli("job", "run", job_file, "--node", bank, "--detach")
    assert handed.returncode == 0, handed.stderr
    job = handed.stdout.strip()
    await place.until(job, lambda event: (event.party, event.stage) == (TAX, "pending"))
    listed = json.loads(run_cli("job", "list", "--node", tax, "--json").stdout)
    assert [(entry["id"], entry["state"]) for entry in listed] == [(job, "pending")]
    assert run_cli("job", "approve", job, "--node", tax).returncode == 0
    assert (await place.end(job)).stage == "succeeded"
    assert place.show(TAX, job)["state"] == "succeeded"
    assert place.models(job) == wanted
    place.policy(TAX, "admit")


@pytest.mark.parametrize("victim", [PLATFORM, TAX])
async def test_a_job_over_the_relay_outlives_a_kill(place: Newcomers, wanted: dict[str, bytes], victim: str) -> None:
    job = await submit(place)
    await place.after(job, FIRST)
    await place.kill(victim)
    await place.up(victim)
    end = await place.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert place.models(job) == wanted


def row(place: Newcomers, party: str, job: str) -> tuple[str, int]:
    """A job's state and epoch in a party's store, read without it."""
    path = place.folder / party / "store.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as store:
        state, epoch = store.execute("SELECT state, epoch FROM jobs WHERE id = ?", (job,)).fetchone()
    return str(state), int(epoch)


def state(place: Newcomers, party: str, job: str) -> tuple[str, str]:
    """A job's state in a party's store, and the code for which it waits."""
    path = place.folder / party / "store.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as store:
        found = store.execute("SELECT state, waiting_code FROM jobs WHERE id = ?", (job,)).fetchone()
    return str(found[0]), str(found[1])


async def test_own_certificates_are_withdrawn_and_no_job_is_started_again(
    place: Newcomers, wanted: dict[str, bytes]
) -> None:
    job = await submit(place)
    await place.after(job, FIRST)
    revoke(place.folder / "tax")
    await place.says(PLATFORM, "certificate.withdrawn")
    assert row(place, TAX, job)[0] == "running", "it happens in the middle"
    assert (await place.end(job)).stage == "succeeded"
    assert [row(place, party, job) for party in PARTIES] == [("succeeded", 0)] * 3
    assert place.models(job) == wanted


async def test_a_certificate_that_ends_makes_the_job_wait_until_it_is_renewed(place: Newcomers) -> None:
    tax = place.folder / "tax"
    job = await submit(place, 70)  # half a minute and more: it runs when the certificate ends
    await place.after(job, FIRST)
    keys = tax / "keys"
    authority = Authority.load(keys / "authority.crt", keys / "authority.key")
    (keys / "authority.key").rename(tax / "away")
    replace_file(keys / "authority.key", b"out of order", 0o600)
    last = authority.credentials(TAX, LOOPBACK, lifetime=timedelta(seconds=10))
    replace_file(keys / "tls.key", last.private_key, 0o600)
    replace_file(keys / "tls.crt", last.certificate)
    for said in ("certificate.not_renewed", '"CERT_EXPIRES"', '"certificate.expired"'):
        await place.says(TAX, said)
    until = f'"until": "{x509.load_pem_x509_certificate(last.certificate).not_valid_after_utc:%FT%TZ}"'
    assert until in place.log(TAX), "it says whose certificate it is, and when it ended"
    await place.says(PLATFORM, "TLS_EXPIRED")
    assert until in place.log(PLATFORM), "all that it sends goes through the platform"
    async with asyncio.timeout(480):
        while (state(place, TAX, job)) != ("waiting", "CERT_EXPIRED"):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    (tax / "away").rename(keys / "authority.key")
    renew(tax)
    end = await place.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert row(place, TAX, job)[1] <= 2, "it is not started in vain before the renewal"


async def test_a_new_authority_is_believed_by_word_of_mouth_and_the_job_goes_on(
    place: Newcomers, wanted: dict[str, bytes]
) -> None:
    """The registry moves to a new authority, with its signing key, in the middle of a job."""
    job = await submit(place)
    await place.after(job, FIRST)
    await place.kill(REGISTRY)
    keys = place.folder / "registry" / "keys"
    authority = Authority.of_party(REGISTRY, LOOPBACK)
    signer = load_certificate(keys / "signing.crt").public_key()
    leaf = authority.credentials(REGISTRY, LOOPBACK, lifetime=timedelta(hours=24))
    replace_file(keys / "authority.key", private_pem(authority.key), 0o600)
    replace_file(keys / "authority.crt", authority.pem)
    replace_file(keys / "signing.crt", authority.certify_signer(REGISTRY, signer, lifetime=timedelta(days=900)))
    replace_file(keys / "tls.key", leaf.private_key, 0o600)
    replace_file(keys / "tls.crt", leaf.certificate)
    (place.folder / "registry.token").unlink(missing_ok=True)
    place.shell(
        "fedcredit platform token platform --party registry --kind provider --out registry.token\n"
        "fedcredit party enrol registry --token registry.token\n"
    )
    await place.up(REGISTRY, plan=PLANS["registry"])
    for party in (BANK, TAX):
        await place.says(party, "TRUST_CHANGED")
    assert row(place, BANK, job)[0] in ("running", "waiting")
    said = fingerprint(authority.certificate)
    believed = run_cli("party", "trust", place.folder / "bank", "registry", "--fingerprint", said)
    assert believed.returncode == 0, believed.stderr
    believe(place.folder / "tax", "registry", said)
    end = await place.end(job)
    assert (end.stage, end.code) == ("succeeded", "")
    assert place.models(job) == wanted


def check_ended(place: Newcomers, job: str, code: str, *parties: str) -> None:
    """The job has failed with `code` at these parties, of which nothing is left but the record of it."""
    for party in parties:
        assert row(place, party, job)[0] == "failed", party
        folder = place.folder / party
        assert json.loads((folder / "jobs" / job / "failure.json").read_text())["problems"][0]["code"] == code
        assert not list((folder / "jobs" / job).glob("result*"))
        audit = b"".join(path.read_bytes() for path in sorted((folder / "audit").rglob("*")) if path.is_file())
        assert code.encode() in audit


async def test_whom_a_party_does_not_believe_any_more_ends_its_jobs(place: Newcomers) -> None:
    job = await submit(place, MANY)
    await place.after(job, FIRST)
    distrust(place.folder / "bank", "tax", "a quarrel")
    begun = time.monotonic()
    end = await place.end(job)
    assert (end.stage, end.code) == ("failed", "PEER_DISTRUSTED")
    assert time.monotonic() - begun < 60
    check_ended(place, job, "PEER_DISTRUSTED", BANK)
    authority = load_certificate(place.folder / "tax" / "keys" / "authority.crt")
    believe(place.folder / "bank", "tax", fingerprint(authority))


async def believed_again(place: Newcomers) -> str:
    """A job that has begun: the bank's node believes tax again a moment after it was told to, not at once."""
    async with asyncio.timeout(480):
        while True:
            job = await submit(place, MANY)
            try:
                await place.after(job, FIRST)
            except AssertionError:
                assert row(place, BANK, job)[0] == "failed", "it was refused, and nothing else"
                await asyncio.sleep(0.5)
            else:
                return job


async def test_a_member_that_is_revoked_ends_its_jobs(place: Newcomers) -> None:
    job = await believed_again(place)
    revoke_member(place.folder / "platform", "tax", "left the scheme")
    begun = time.monotonic()
    end = await place.end(job)
    assert (end.stage, end.code, end.culprit) == ("failed", "PEER_REVOKED", "tax")
    assert time.monotonic() - begun < 60
    check_ended(place, job, "PEER_REVOKED", BANK, REGISTRY)
