"""Pins, tokens, requests to join, the directory, and certificates that renew themselves."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from free_ports import free_port

from fedcredit.errors import ConfigError, FedcreditError, PeerError
from fedcredit.ids import PartyId
from fedcredit.node.pki import SKEW, Authority, check_authority
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.trust.check import problems_of
from fedcredit.node.trust.directory import DIRECTORY, REVOKED, Directory, MemberRecord
from fedcredit.node.trust.folder import Joined, TrustFolder
from fedcredit.node.trust.founding import NewParty, found
from fedcredit.node.trust.keys import open_keyring
from fedcredit.node.trust.office import Office
from fedcredit.node.trust.renewal import Renewal
from fedcredit.node.trust.request import check_request, check_withdrawal, make_request, withdrawal
from fedcredit.node.trust.spool import NewToken, Revoke, Spool
from fedcredit.node.trust.token import TokenFile
from fedcredit.runtime.clock import ManualClock, SystemClock
from fedcredit.runtime.config import PartyFile, load_party
from fedcredit.wire.enrol import EnrolReply, EnrolRequest, FetchRequest

pytestmark = pytest.mark.anyio

PLATFORM, TAX, BANK = PartyId("platform"), PartyId("tax"), PartyId("bank")
CLOCK = SystemClock()


class Party:
    """Keys of a party, in memory."""

    def __init__(self, name: PartyId) -> None:
        self.name, self.authority, self.key = name, Authority.of_party(name), Ed25519PrivateKey.generate()
        self.signer = x509.load_pem_x509_certificate(self.authority.certify_signer(name, self.key.public_key()))

    def request(self, secret: bytes = b"s" * 32, kind: str = "provider", address: str = "h:1") -> EnrolRequest:
        """A request of this party."""
        return make_request(self.authority, self.name, kind, address, self.signer, secret)

    def record(self, **changed: object) -> MemberRecord:
        """It as a member."""
        return dataclasses.replace(MemberRecord(self.name, "provider", self.authority.certificate, "h:1"), **changed)

    def signing(self) -> SigningIdentity:
        """It as one who signs."""
        der = self.signer.public_bytes(Encoding.DER)
        return SigningIdentity(self.name, self.key, der, lambda: None, CLOCK)  # type: ignore[arg-type, return-value]

    def sign(self, directory: Directory) -> EnrolReply:
        """A directory with its signature."""
        data = directory.to_bytes()
        signing = self.signing()
        return EnrolReply(data, signing.sign(DIRECTORY, data), signing.certificate)


@pytest.fixture(scope="module")
def parties() -> dict[PartyId, Party]:
    return {name: Party(name) for name in (PLATFORM, TAX, BANK)}


@pytest.fixture
def folder(tmp_path: Path, parties) -> TrustFolder:
    """The pins of the bank, which has joined the platform."""
    made = TrustFolder(tmp_path, BANK, parties[BANK].authority.certificate)
    made.create()
    made.pin(PLATFORM, parties[PLATFORM].authority.certificate)
    made.join(Joined(PLATFORM, "h:2"))
    return made


def faults(error: pytest.ExceptionInfo[FedcreditError]) -> str:
    return " | ".join(problem.what for problem in error.value.problems)


def test_an_authority_is_one_of_one_party_alone(parties) -> None:
    good = parties[TAX].authority.certificate
    check_authority(good, TAX)
    with pytest.raises(ConfigError, match="AUTHORITY_INVALID"):
        check_authority(good, BANK)
    with pytest.raises(ConfigError) as loose:
        check_authority(Authority.create().certificate, TAX)
    assert "not constrained" in faults(loose)
    assert "not called" in faults(loose)
    for hosts in (["internal"], ["bank.party.fedcredit.internal"], ["party.fedcredit.internal"]):
        with pytest.raises(ConfigError, match="not constrained"):
            check_authority(Authority.of_party(TAX, hosts).certificate, TAX)
    with pytest.raises(ConfigError, match="too long"):
        check_authority(Authority.of_party(TAX, lifetime=timedelta(days=5000)).certificate, TAX)
    with pytest.raises(ConfigError, match="CERT_EXPIRED"):
        check_authority(Authority.of_party(TAX, lifetime=timedelta(seconds=-1)).certificate, TAX)


def test_a_request_proves_that_its_sender_holds_the_key(parties) -> None:
    tax, bank = parties[TAX], parties[BANK]
    good = tax.request()
    assert check_request(good, CLOCK) == tax.record()
    assert check_request(tax.request(address="relay://tax"), CLOCK).address == "relay://tax"
    other = bank.request()
    for changed, what in (
        ({"secret": b"t" * 32}, "does not hold"),
        ({"address": "other:1"}, "does not hold"),
        ({"proof": other.proof}, "does not hold"),
        ({"party": "bank"}, "not called"),
        ({"authority": other.authority}, "not called"),
        ({"authority": b"x"}, "cannot be read"),
    ):
        with pytest.raises(ConfigError, match="REQUEST_REFUSED") as refused:
            check_request(dataclasses.replace(good, **changed), CLOCK)
        assert what in faults(refused)
    for kind, address, what in (("platform", "h:1", "kind"), ("provider", "relay://bank", "address"), ("provider", "x", "address")):  # fmt: skip # noqa: E501
        with pytest.raises(ConfigError, match="REQUEST_REFUSED") as refused:
            check_request(tax.request(kind=kind, address=address), CLOCK)
        assert what in faults(refused)
    mixed = make_request(tax.authority, TAX, "provider", "h:1", bank.signer, b"s" * 32)
    with pytest.raises(ConfigError, match="REQUEST_REFUSED"):
        check_request(mixed, CLOCK)


def test_only_its_owner_withdraws_a_certificate(parties) -> None:
    tax, bank = parties[TAX], parties[BANK]
    check_withdrawal(withdrawal(tax.authority, TAX, 1000), TAX, tax.authority.certificate)
    for request in (
        withdrawal(bank.authority, TAX, 1000),
        withdrawal(tax.authority, BANK, 1000),
        dataclasses.replace(withdrawal(tax.authority, TAX, 1000), not_before=1001),
    ):
        with pytest.raises(FedcreditError, match="REQUEST_REFUSED"):
            check_withdrawal(request, TAX, tax.authority.certificate)


def test_a_directory_is_believed_with_the_platforms_signature_alone(parties, folder) -> None:
    platform, tax = parties[PLATFORM], parties[TAX]
    good = platform.sign(Directory.of(PLATFORM, 5, [tax.record()]))
    assert folder.verify(good, PLATFORM).member(TAX) == tax.record()
    forged = tax.sign(Directory.of(PLATFORM, 5, [tax.record()]))
    altered = dataclasses.replace(good, directory=good.directory.replace(b'"h:1"', b'"h:2"'))
    another = platform.sign(Directory.of(BANK, 5, []))
    for bad in (forged, altered, another, dataclasses.replace(good, certificate=b"x")):
        with pytest.raises(PeerError, match="DIRECTORY_INVALID"):
            folder.verify(bad, PLATFORM)
    value = json.loads(good.directory)
    for change in ({"format": 2}, {"serial": "5"}, {"members": value["members"] * 2}, {"extra": 1}):
        with pytest.raises(PeerError, match="DIRECTORY_INVALID"):
            Directory.parse(json.dumps(value | change).encode(), PLATFORM)


def test_new_members_are_pinned_and_changed_ones_are_not(parties, folder) -> None:
    platform, tax = parties[PLATFORM], parties[TAX]
    assert folder.keep(platform.sign(Directory.of(PLATFORM, 5, [tax.record()])), PLATFORM, pin_new=True) == []
    assert folder.pins()[TAX] == tax.authority.certificate
    impostor = Party(TAX)
    notes = folder.keep(platform.sign(Directory.of(PLATFORM, 6, [impostor.record()])), PLATFORM, pin_new=True)
    assert notes == [("TRUST_CHANGED", TAX)]
    assert folder.pins()[TAX] == tax.authority.certificate
    with pytest.raises(PeerError, match="DIRECTORY_ROLLBACK"):
        folder.keep(platform.sign(Directory.of(PLATFORM, 5, [tax.record()])), PLATFORM, pin_new=True)


def test_members_wait_where_each_is_to_be_confirmed(parties, folder) -> None:
    platform, tax = parties[PLATFORM], parties[TAX]
    notes = folder.keep(platform.sign(Directory.of(PLATFORM, 5, [tax.record()])), PLATFORM, pin_new=False)
    assert notes == [("TRUST_NEW", TAX)]
    assert TAX not in folder.pins()


def test_distrust_outlasts_the_platforms_word(parties, folder) -> None:
    platform, tax = parties[PLATFORM], parties[TAX]
    folder.keep(platform.sign(Directory.of(PLATFORM, 5, [tax.record()])), PLATFORM, pin_new=True)
    stamp = folder.stamp()
    folder.distrust(TAX, "a reason")
    assert folder.stamp() != stamp
    refused = folder.trust().refusal(TAX)
    assert refused is not None
    assert refused.code == "PEER_DISTRUSTED"
    folder.keep(platform.sign(Directory.of(PLATFORM, 6, [tax.record()])), PLATFORM, pin_new=True)
    assert folder.trust().refusal(TAX) is not None
    folder.trust_again(TAX)
    assert folder.trust().refusal(TAX) is None
    assert folder.trust().refusal(BANK) is None


def test_a_spoilt_pin_is_told_by_name(parties, folder) -> None:
    (folder.path / "pins" / "tax.pem").write_bytes(parties[BANK].authority.pem)
    (folder.path / "pins" / "other.pem").write_text("x")
    with pytest.raises(ConfigError, match="TRUST_INVALID") as refused:
        folder.trust()
    assert [Path(problem.where).name for problem in refused.value.problems] == ["other.pem", "tax.pem"]


@pytest.fixture
def office(tmp_path: Path, parties):
    """The platform's office over a real store."""
    clock = ManualClock(CLOCK.now())
    home = tmp_path / "platform"
    home.mkdir()
    pins = TrustFolder(home, PLATFORM, parties[PLATFORM].authority.certificate)
    pins.create()
    store = Store.at(home / "store.sqlite")
    seen: list[Directory] = []
    made = Office(pins, store, parties[PLATFORM].signing(), Spool(home), clock, seen.append)
    yield made, Spool(home), seen, clock
    store.close()


def token(spool: Spool, party: PartyId, secret: bytes, life: timedelta = timedelta(hours=1)) -> None:
    spool.add_token(NewToken(hashlib.sha256(secret).digest(), party, "provider", CLOCK.now() + life))


async def test_a_token_lets_one_party_in_once(parties, office) -> None:
    made, spool, seen, _ = office
    await made.open()
    token(spool, TAX, b"s" * 32)
    request = parties[TAX].request()
    reply = await made.enrol(request)
    assert Directory.parse(reply.directory, PLATFORM).member(TAX) == parties[TAX].record()
    # The same bytes again: the same answer. Other bytes: refused, whoever sends them.
    assert await made.enrol(request) == reply
    for other in (parties[TAX].request(address="h:2"), Party(TAX).request(), parties[BANK].request()):
        with pytest.raises(FedcreditError, match="TOKEN_REFUSED"):
            await made.enrol(other)
    with pytest.raises(FedcreditError, match="TOKEN_REFUSED"):
        await made.enrol(parties[BANK].request(secret=b"u" * 32))
    token(spool, BANK, b"v" * 32, timedelta(hours=-1))
    with pytest.raises(FedcreditError, match="TOKEN_REFUSED"):
        await made.enrol(parties[BANK].request(secret=b"v" * 32))
    token(spool, TAX, b"w" * 32)
    with pytest.raises(FedcreditError, match="TOKEN_REFUSED"):
        await made.enrol(parties[BANK].request(secret=b"w" * 32))
    assert [member.party for member in seen[-1].members] == [TAX]


async def test_a_revoked_member_does_not_come_back_by_an_old_request(parties, office) -> None:
    made, spool, seen, _ = office
    await made.open()
    token(spool, TAX, b"s" * 32)
    request = parties[TAX].request()
    first = Directory.parse((await made.enrol(request)).directory, PLATFORM)
    spool.revoke(Revoke(TAX, "left"))
    await made.look()
    assert seen[-1].member(TAX).state == REVOKED
    assert seen[-1].serial > first.serial
    with pytest.raises(FedcreditError, match="TOKEN_REFUSED"):
        await made.enrol(request)
    newer = Directory.parse((await made.fetch(BANK, FetchRequest(first.serial, 0))).directory, PLATFORM)
    assert newer.member(TAX).state == REVOKED
    assert (await made.fetch(BANK, FetchRequest(newer.serial, 10))).directory == b""
    token(spool, TAX, b"n" * 32)
    back = Directory.parse((await made.enrol(parties[TAX].request(secret=b"n" * 32))).directory, PLATFORM)
    assert back.member(TAX).state == "active"


def test_a_token_file_is_read_strictly(tmp_path: Path, parties) -> None:
    made = TokenFile(
        PLATFORM, parties[PLATFORM].authority.certificate, "h:1", "h:2", TAX, "provider",
        CLOCK.now().replace(microsecond=0) + timedelta(hours=1), TokenFile.new_secret(),
    )  # fmt: skip
    assert made.secret.hex() not in repr(made)
    path = tmp_path / "token"
    path.write_bytes(made.to_bytes())
    path.chmod(0o600)
    assert TokenFile.read(path, CLOCK.now()) == made
    with pytest.raises(ConfigError, match="TOKEN_EXPIRED"):
        TokenFile.read(path, CLOCK.now() + timedelta(hours=2))
    value = json.loads(made.to_bytes())
    for change in (
        {"format": "x"},
        {"authority": parties[TAX].authority.pem.decode()},
        {"secret": "zz"},
        {"party": "Tax!"},
    ):
        path.write_text(json.dumps(value | change))
        with pytest.raises(ConfigError, match=r"TOKEN_INVALID|AUTHORITY_INVALID|CONFIG_NAME"):
            TokenFile.read(path, CLOCK.now())


@pytest.fixture
def founded(tmp_path: Path) -> PartyFile:
    """A party as `party init` makes it."""
    (tmp_path / "t.csv").write_text("uscc,x\n" + "".join(f"{k:012d},{k}\n" for k in range(20)))
    found(tmp_path / "tax", NewParty(TAX, "provider", port=free_port(), table=tmp_path / "t.csv"))
    return load_party(tmp_path / "tax", {})


def test_a_new_party_is_whole_and_is_not_made_twice(founded) -> None:
    assert {problem.code for problem in problems_of(founded, CLOCK)} == {"NOT_ENROLLED"}
    request = x509.load_pem_x509_csr((founded.folder / "keys" / "request.csr").read_bytes())
    assert request.is_signature_valid
    before = {path: path.read_bytes() for path in founded.folder.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="EXISTS") as refused:
        found(founded.folder, NewParty(TAX, "provider"))
    assert len(refused.value.problems) == 4
    assert {path: path.read_bytes() for path in founded.folder.rglob("*") if path.is_file()} == before


def test_all_problems_of_a_folder_are_listed_at_once(founded) -> None:
    keys = founded.folder / "keys"
    other = Authority.of_party(TAX)
    (keys / "tls.crt").write_bytes(other.credentials(TAX).certificate)
    (keys / "signing.crt").write_bytes(other.certify_signer(TAX, Ed25519PrivateKey.generate().public_key()))
    (founded.folder / "policy.toml").unlink()
    (founded.folder / "trust").chmod(0o777)
    (founded.folder / "trust" / "pins" / "bank.pem").write_text("x")
    before = {path: path.stat().st_mtime_ns for path in founded.folder.rglob("*")}
    late = ManualClock(CLOCK.now() - timedelta(days=400))
    codes = {problem.code for problem in problems_of(founded, CLOCK)}
    assert codes == {"KEY_INVALID", "SIGNING_KEY", "POLICY_MISSING", "FOLDER_WRITABLE", "TRUST_INVALID"}
    assert "CLOCK" in {problem.code for problem in problems_of(founded, late)}
    assert {path: path.stat().st_mtime_ns for path in founded.folder.rglob("*")} == before


def test_a_certificate_renews_itself_at_half_of_its_time(founded) -> None:
    clock = ManualClock(CLOCK.now())
    keyring = open_keyring(founded, clock)
    renewal = Renewal(founded, keyring, clock)
    first = keyring.credentials
    clock.advance(0.39 * 24 * 3600)
    renewal.look()
    assert keyring.credentials == first
    clock.advance(0.22 * 24 * 3600)
    renewal.look()
    second = keyring.credentials
    assert second.certificate != first.certificate
    assert second.private_key != first.private_key
    leaf = x509.load_pem_x509_certificate(second.certificate)
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc == timedelta(hours=24) + SKEW
    old = x509.load_pem_x509_certificate(first.certificate)
    assert leaf.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ) == old.extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_one_that_cannot_be_renewed_is_warned_of_and_one_that_ended_is_made_anew(founded, caplog) -> None:
    clock = ManualClock(CLOCK.now())
    keyring = open_keyring(founded, clock)
    renewal = Renewal(founded, keyring, clock)
    key = founded.folder / "keys" / "authority.key"
    hidden = key.rename(key.with_suffix(".away"))
    said = []
    for part in (0.62, 0.2, 0.15, 0.04):
        clock.advance(part * 24 * 3600)
        renewal.look()
        said.append(caplog.text.count("certificate.expires"))
    assert said == [1, 2, 3, 3]
    assert "CERT_EXPIRED" in caplog.text
    assert keyring.expired
    with pytest.raises(ConfigError, match="KEY_MISSING"):
        open_keyring(founded, clock, renew=True)
    hidden.rename(key)
    with pytest.raises(ConfigError, match="CERT_EXPIRED"):
        open_keyring(founded, clock)
    assert not open_keyring(founded, clock, renew=True).expired
    clock.advance(60)
    renewal.look()
    assert not keyring.expired


def test_files_that_another_program_renews_are_taken_up_when_both_are_there(founded) -> None:
    clock = ManualClock(CLOCK.now())
    keyring = open_keyring(founded, clock)
    renewal = Renewal(founded, keyring, clock)
    authority = Authority.load(founded.folder / "keys" / "authority.crt", founded.folder / "keys" / "authority.key")
    fresh, first = authority.credentials(TAX), keyring.credentials
    (founded.folder / "keys" / "tls.key").write_bytes(fresh.private_key)
    renewal.look()
    assert keyring.credentials == first
    (founded.folder / "keys" / "tls.crt").write_bytes(fresh.certificate)
    renewal.look()
    assert keyring.credentials.certificate == fresh.certificate
