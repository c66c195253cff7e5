"""Keys and certificates of a run."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedcredit.errors import ConfigError
from fedcredit.ids import PartyId
from fedcredit.node.pki import KEY_FILES, Authority, load_credentials, read_secret, write_keys
from fedcredit.transport.identity import IdentityInvalid, party_of_certificate, read_party

TAX = PartyId("tax")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def keys(tmp_path, authority):
    write_keys(tmp_path / "keys", TAX, authority, ["localhost", "127.0.0.1", "::1"])
    return tmp_path / "keys"


def load(keys, **more):
    return load_credentials(keys / "tls.key", keys / "tls.crt", keys / "authorities.pem", **more)


def test_keys_are_for_their_owner_alone(keys) -> None:
    assert sorted(path.name for path in keys.iterdir()) == sorted(KEY_FILES)
    for path in keys.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == (0o600 if path.suffix == ".key" else 0o644)
    assert stat.S_IMODE(keys.stat().st_mode) == 0o700


def test_a_certificate_says_one_thing(keys, authority) -> None:
    loaded = load(keys, me=TAX)
    leaf = x509.load_pem_x509_certificate(loaded.certificate)
    assert party_of_certificate(loaded.certificate) == TAX
    assert leaf.subject == x509.Name([])
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical
    assert leaf.not_valid_after_utc - datetime.now(UTC) < timedelta(days=8)
    leaf.verify_directly_issued_by(authority.certificate)
    assert b"PRIVATE" not in loaded.certificate + loaded.authorities


def test_a_signing_certificate_is_no_good_for_links_nor_the_other_way_round(keys) -> None:
    signer = x509.load_pem_x509_certificate((keys / "signing.crt").read_bytes())
    link = x509.load_pem_x509_certificate((keys / "tls.crt").read_bytes())
    assert read_party(signer, signer=True) == TAX
    assert load_pem_private_key((keys / "signing.key").read_bytes(), None).public_key() == signer.public_key()
    with pytest.raises(IdentityInvalid):
        read_party(signer)
    with pytest.raises(IdentityInvalid):
        read_party(link, signer=True)


def test_keys_are_not_overwritten(keys, authority) -> None:
    before = (keys / "tls.key").read_bytes()
    with pytest.raises(ConfigError) as refused:
        write_keys(keys, TAX, authority)
    assert refused.value.code == "KEY_EXISTS"
    assert (keys / "tls.key").read_bytes() == before


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused(keys, mode) -> None:
    (keys / "tls.key").chmod(mode)
    with pytest.raises(ConfigError) as refused:
        load(keys)
    assert refused.value.code == "KEY_EXPOSED"
    assert "chmod 600" in refused.value.problems[0].fix


def test_a_key_must_be_a_file_of_its_own(keys) -> None:
    (keys / "link.key").symlink_to(keys / "tls.key")
    for path in (keys / "link.key", keys / "absent.key"):
        with pytest.raises(ConfigError) as refused:
            read_secret(path)
        assert refused.value.code == "KEY_MISSING"
    with pytest.raises(ConfigError) as refused:
        read_secret(keys)
    assert refused.value.code == "KEY_EXPOSED"


@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda keys, other: (keys / "tls.crt").write_bytes(other.certificate), "KEY_INVALID"),
        (lambda keys, other: (keys / "tls.crt").write_bytes(b"nonsense"), "KEY_INVALID"),
        (lambda keys, other: (keys / "authorities.pem").write_bytes(b""), "KEY_INVALID"),
        (lambda keys, other: (keys / "tls.crt").unlink(), "KEY_MISSING"),
        (lambda keys, other: (keys / "tls.key").write_bytes(b"nonsense"), "KEY_INVALID"),
    ],
)
def test_what_does_not_belong_together_is_refused(keys, authority, break_it, code) -> None:
    break_it(keys, authority.credentials(TAX))
    with pytest.raises(ConfigError) as refused:
        load(keys)
    assert refused.value.code == code


def test_dates_and_names_are_checked(keys) -> None:
    for when in (datetime.now(UTC) + timedelta(days=30), datetime.now(UTC) - timedelta(days=1)):
        with pytest.raises(ConfigError) as expired:
            load(keys, now=when)
        assert expired.value.code == "CERT_EXPIRED"
    with pytest.raises(ConfigError) as other:
        load(keys, me=PartyId("bank"))
    assert other.value.code == "TLS_IDENTITY"


def test_secrets_do_not_show(authority) -> None:
    assert "PRIVATE" not in repr(authority.credentials(TAX))
    assert "key=" not in repr(authority)
