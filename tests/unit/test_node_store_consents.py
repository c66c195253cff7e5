"""What a store keeps of consents: one token for one request, revocations that stay, a bulletin's number that grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fedcredit.errors import RefusedError
from fedcredit.node.store import ConsentRow, KeyRow, RevocationRow, Store

ROW = ConsentRow("jti", "ann", "request", b"d" * 32, "a.b.c", "subject", "notice", "zh", 100, 900, False)
REVOKED = RevocationRow("0f" * 16, 200, 900, "ann", "changed my mind", False)
KEY = KeyRow("ab" * 16, "enterprise", "subject", b"k" * 32, 0, 1000, 1000, False)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store.open(store_url)
    yield store
    store.close()


def test_the_same_request_has_the_same_consent(store: Store) -> None:
    assert store.consents.asked("ann", "request", ROW.digest) is None
    assert store.consents.keep(ROW) == ROW
    assert store.consents.keep(replace(ROW, jti="other", token="x.y.z")) == ROW
    assert store.consents.asked("ann", "request", ROW.digest) == ROW
    assert store.consents.of("jti") == ROW
    assert store.consents.of("other") is None
    for again in (
        lambda: store.consents.keep(replace(ROW, jti="other", digest=b"e" * 32)),
        lambda: store.consents.asked("ann", "request", b"e" * 32),
    ):
        with pytest.raises(RefusedError, match="CONFLICT"):
            again()
    # Another account's request of the same name is another one.
    other = replace(ROW, jti="other", account="bob", subject="another")
    assert store.consents.keep(other) == other
    assert store.consents.of_subjects(["another", "third"], 10) == [other]
    assert len(store.consents.newest(10)) == 2
    assert len(store.consents.newest(1)) == 1


def test_a_revocation_stays_as_it_was_first(store: Store) -> None:
    assert store.consents.revoke(REVOKED) == REVOKED
    assert store.consents.revoke(replace(REVOKED, by="bob", revoked=300)) == REVOKED
    assert store.consents.revocation(REVOKED.id) == REVOKED
    assert store.consents.revocation("00" * 16) is None
    assert store.consents.revocations(899) == [REVOKED]
    assert store.consents.revocations(900) == []


def test_what_the_audit_log_does_not_have_is_found_again(store: Store) -> None:
    store.consents.keep(ROW)
    store.consents.revoke(REVOKED)
    assert store.consents.unrecorded() == ([ROW], [REVOKED])
    store.consents.recorded(consent=ROW.jti)
    assert store.consents.unrecorded() == ([], [REVOKED])
    store.consents.recorded(revocation=REVOKED.id)
    assert store.consents.unrecorded() == ([], [])
    assert store.consents.asked("ann", "request", ROW.digest) == replace(ROW, recorded=True)


def test_keys_belong_to_one_subject_and_end(store: Store) -> None:
    assert store.consent_keys.add(KEY) == KEY
    assert store.consent_keys.add(replace(KEY, signs_from=5)) == KEY
    with pytest.raises(RefusedError, match="CONSENT_KEY"):
        store.consent_keys.add(replace(KEY, subject="another"))
    store.consent_keys.recorded(KEY.kid)
    store.consent_keys.end(KEY.kid, signs_until=500, ends=2000)
    (found,) = store.consent_keys.all()
    assert (found.signs_until, found.ends, found.recorded) == (500, 1000, False)
    store.consent_keys.end("unknown", signs_until=0, ends=0)


def test_a_bulletin_has_a_new_number_when_it_says_something_new(store: Store) -> None:
    number = store.consent_keys.number
    assert number(b"a" * 32, 100) == 100
    assert number(b"a" * 32, 200) == 100
    assert number(b"b" * 32, 50) == 101
    assert number(b"a" * 32, 300) == 300
