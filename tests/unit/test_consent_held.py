"""What a party believes of the platform's bulletin: the signed, the newer, the dated; and keeps before it acts."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, PeerError
from fedcredit.governance.consent.bulletin import BULLETIN, Bulletin, BulletinBody, BulletinHead
from fedcredit.governance.consent.issuers import Issuer
from fedcredit.ids import PartyId
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.pki import Authority
from fedcredit.node.signing import SigningIdentity
from fedcredit.runtime.clock import ManualClock
from fedcredit.transport.trust import Pin, Trust
from fedcredit.wire.consent import ConsentBulletin

pytestmark = pytest.mark.anyio

PLATFORM, TAX, BANK = map(PartyId, ("platform", "tax", "bank"))
NOW = datetime(2026, 12, 1, tzinfo=UTC)
T = int(NOW.timestamp())


class Signer:
    """A party that signs bulletins."""

    def __init__(self, party: PartyId) -> None:
        self.party, self.key = party, Ed25519PrivateKey.generate()
        self.authority = Authority.of_party(party, now=NOW)
        pem = self.authority.certify_signer(party, self.key.public_key(), now=NOW)
        self.certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
        self.identity = SigningIdentity(party, self.key, self.certificate, lambda: Trust({}), ManualClock(NOW))
        self.issuer = Issuer(Ed25519PrivateKey.generate().public_key().public_bytes_raw(), "authority", name=party)

    def says(
        self,
        number: int,
        time: int,
        *revoked: str,
        body: bytes | None = None,
        name: PartyId | None = None,
        issuer: Issuer | None = None,
    ) -> ConsentBulletin:
        whole = BulletinBody.of([issuer or self.issuer], revoked).to_bytes()
        head = BulletinHead(name or self.party, number, time, hashlib.sha256(whole).digest()).to_bytes()
        sent = whole if body is None else body
        return ConsentBulletin(head, self.identity.sign(BULLETIN, head), self.certificate, sent)


@pytest.fixture
def platform() -> Signer:
    return Signer(PLATFORM)


@pytest.fixture
def held(platform: Signer, tmp_path: Path) -> HeldConsents:
    return holder(platform, tmp_path)


def holder(platform: Signer, folder: Path) -> HeldConsents:
    trust = Trust({PLATFORM: Pin((platform.authority.certificate,))})
    identity = SigningIdentity(TAX, Ed25519PrivateKey.generate(), b"", lambda: trust, ManualClock(NOW))
    return HeldConsents(folder, PLATFORM, identity)


A, B = "0a" * 16, "0b" * 16


async def test_what_is_newer_is_kept_and_heard_and_survives(
    held: HeldConsents, platform: Signer, tmp_path: Path
) -> None:
    heard: list[Bulletin] = []
    assert held.premises("tax", "nanjing").revocations_at == 0
    held.listen(heard.append)
    assert await held.take(platform.says(5, T, A))
    assert await held.take(platform.says(6, T, A, B))
    assert [bulletin.body.revoked for bulletin in heard] == [(A,), (A, B)]
    # That it still holds comes without its body.
    assert await held.take(platform.says(6, T + 20, A, B, body=b""))
    assert not await held.take(platform.says(6, T + 10, A, B))
    assert [bulletin.head.time for bulletin in heard] == [T, T, T + 20]
    again = holder(platform, tmp_path)
    again.load()
    assert again.bulletin == held.bulletin
    late: list[Bulletin] = []
    again.listen(late.append)
    assert late == [held.bulletin]
    premises = again.premises("tax", "nanjing")
    assert (A in premises.revoked, premises.revocations_at) == (True, T + 20)
    assert premises.issuers.find(platform.issuer.kid) == platform.issuer


async def test_nobody_brings_a_revoked_consent_back(held: HeldConsents, platform: Signer) -> None:
    await held.take(platform.says(7, T, A))
    for message, code in (
        (platform.says(6, T + 5), "BULLETIN_ROLLBACK"),
        (platform.says(7, T + 5), "BULLETIN_INVALID"),
        (platform.says(8, T + 5, body=b""), "BULLETIN_INVALID"),
        (platform.says(8, T + 61), "BULLETIN_FUTURE"),
        (platform.says(8, T, B, body=BulletinBody.of([platform.issuer], []).to_bytes()), "BULLETIN_INVALID"),
        (platform.says(8, T, name=BANK), "BULLETIN_INVALID"),
        (platform.says(8, T, issuer=Signer(BANK).issuer), "BULLETIN_INVALID"),
    ):
        with pytest.raises(PeerError) as refused:
            await held.take(message)
        assert refused.value.code == code
    assert held.bulletin is not None
    assert held.bulletin.body.revoked == (A,)
    # A clock that was set back at the platform keeps no revocation from arriving; its list only looks older.
    assert await held.take(platform.says(8, T - 100, A, B))


async def test_only_the_pinned_platform_is_believed(held: HeldConsents, platform: Signer) -> None:
    impostor, other = Signer(PLATFORM), Signer(BANK)
    good = platform.says(5, T)
    flipped = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
    for message, code in (
        (impostor.says(5, T), "SIGNER_INVALID"),
        (other.says(5, T, name=PLATFORM, issuer=platform.issuer), "SIGNER_INVALID"),
        (ConsentBulletin(good.head, flipped, good.certificate, good.body), "SIGNATURE_INVALID"),
        (ConsentBulletin(platform.says(6, T).head, good.signature, good.certificate, good.body), "SIGNATURE_INVALID"),
    ):
        with pytest.raises(PeerError) as refused:
            await held.take(message)
        assert refused.value.code == code
    assert held.bulletin is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"head":"00"}', b'{"head":1}', b"\xff"])
async def test_a_damaged_file_counts_as_none(
    held: HeldConsents, platform: Signer, tmp_path: Path, content: bytes
) -> None:
    await held.take(platform.says(5, T))
    path = tmp_path / "consents.json"
    path.write_bytes(content)
    again = holder(platform, tmp_path)
    again.load()
    assert again.bulletin is None
    # A file of another platform is not believed either.
    impostor = Signer(PLATFORM)
    await holder(impostor, tmp_path).take(impostor.says(9, T))
    again.load()
    assert again.bulletin is None


async def test_what_cannot_be_kept_is_not_acted_on(
    held: HeldConsents, platform: Signer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held.take(platform.says(5, T))
    heard: list[Bulletin] = []
    held.listen(heard.append)

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedcredit.node.consent.held.replace_file", full)
    with pytest.raises(ConfigError, match="STATE_UNKEPT"):
        await held.take(platform.says(6, T, A))
    assert [bulletin.head.number for bulletin in heard] == [5]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b'{"issuers":[],"revoked":"0"}',
        b'{"issuers":[],"revoked":["00"]}',
        b'{"issuers":[],"revoked":"' + b"0b" * 16 + b"0a" * 16 + b'"}',
        b'{"issuers":[],"revoked":"' + b"0a" * 32 + b'"}',
        b'{"issuers":[],"revoked":"' + b"0A" * 16 + b'"}',
        b'{"issuers":[{"kid":"x"}],"revoked":""}',
        b'{"issuers":[1],"revoked":""}',
        b'{"issuers":[],"revoked":"","more":1}',
        b'{"revoked":"","issuers":[]}',
    ],
)
def test_bodies_have_one_form(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"form|revoked|Expecting"):
        BulletinBody.parse(data)
