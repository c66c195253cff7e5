"""Joint logistic regression under Paillier: the numbers of ring-LWE to the last bit, and every bad message refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import rlwe_stand_in
from credit_tables import woe_columns
from linear_cases import BANK, TAX, WATER, Case, assert_like_centralised, joined, play, replace

from fedcredit.crypto.paillier_checks import insecure_profile
from fedcredit.errors import PeerError
from fedcredit.wire.encryption import Encrypted, EncryptionKey


@pytest.fixture(autouse=True)
def _short_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedcredit.protocols.linear.paillier_keys.PROFILE", insecure_profile(1024))


def under_paillier(case: Case, **how: Any) -> Any:
    return play(case, encryption="paillier", **how)


@pytest.mark.parametrize(
    ("case", "how"),
    [
        (Case((1, 2), n=200), {}),
        (Case((0, 1), n=150, weighted=True, l2=3.0), {}),
        (Case((2, 2), n=160, seed=4), {"sign": 1}),
        (Case((2, 1), n=150), {"inference": False}),
    ],
)
def test_the_fit_is_that_under_ring_lwe_to_the_last_bit(
    case: Case, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums are exact modulo the same number under either, so nothing can differ."""
    found = under_paillier(case, **how)
    rlwe_stand_in.use(monkeypatch)
    plain = play(case, **how)
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(found, what), joined(plain, what), equal_nan=True)
    one, other = found.results[BANK], plain.results[BANK]
    assert one.log_likelihood == other.log_likelihood
    assert np.array_equal(one.information, other.information)
    assert one.gradients == other.gradients


@pytest.mark.slow
@pytest.mark.shared
def test_real_records_give_the_coefficients_of_ring_lwe() -> None:
    """Every 28th record of `sba`, encrypted either way: equal to the last bit, and to the centralised fit."""
    columns, y = woe_columns("sba")
    case = Case((6, 3))
    case.X, case.y = np.stack(list(columns.values()), axis=1)[::28], y[::28]
    case.n = case.y.size
    found, other = under_paillier(case), play(case)
    fit = case.centralised()
    for what in ("values", "standard_errors"):
        assert np.array_equal(joined(found, what), joined(other, what))
    assert joined(found, "values") == pytest.approx(fit.estimates.values, rel=1e-3, abs=1e-3)
    assert joined(found, "p_values") == pytest.approx(fit.estimates.p_values, abs=1e-3)


def test_three_parties_give_the_centralised_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows, weighed columns and sums in several messages each.
    monkeypatch.setattr("fedcredit.protocols.linear.shape.PAILLIER_ROWS", 64)
    monkeypatch.setattr("fedcredit.protocols.linear.shape.PAILLIER_VECTORS", 3)
    monkeypatch.setattr("fedcredit.protocols.linear.shape.SUMS_AT_ONCE", 4)
    case = Case((1, 2, 1), n=200, seed=1)
    case.X[:, 1] = np.digitize(case.X[:, 1], [-1, 0, 1])
    assert_like_centralised(under_paillier(case), case.centralised())


def changed(index: int, new: Any) -> Any:
    def change(message: Encrypted) -> Encrypted:
        data = bytearray(message.data)
        wide = 256
        data[index * wide : (index + 1) * wide] = new(bytes(data[index * wide : (index + 1) * wide]))
        return Encrypted(message.first, bytes(data))

    return change


def zeros(row: bytes) -> bytes:
    return bytes(len(row))


def one(row: bytes) -> bytes:
    return bytes(len(row) - 1) + b"\x01"


def all_ones(row: bytes) -> bytes:
    return b"\xff" * len(row)


KEYS = {
    "too short": lambda m: EncryptionKey(m.key[:100]),
    "even": lambda m: EncryptionKey(m.key[:-1] + b"\x00"),
    "leading zeros": lambda m: EncryptionKey(b"\x00" + m.key),
    "a small factor": lambda m: EncryptionKey(((int.from_bytes(m.key, "big") // 6) * 6 + 3).to_bytes(128, "big")),
    "a power": lambda m: EncryptionKey((((1 << 512) - 569) ** 2).to_bytes(128, "big")),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("culprit", [BANK, TAX])
def test_a_bad_key_is_refused(name: str, culprit: Any) -> None:
    with pytest.raises(PeerError) as caught:
        under_paillier(Case((1, 1), n=60), tamper=replace(EncryptionKey, 0, KEYS[name], culprit))
    assert (caught.value.culprit, caught.value.code) == (culprit, "KEY_INVALID")


@pytest.mark.parametrize("bad", [zeros, one, all_ones])
@pytest.mark.parametrize(
    ("culprit", "number", "index"),
    [(BANK, 0, 7), (TAX, 0, 3), (BANK, 1, 59), (TAX, 1, 0), (BANK, 2, 0), (TAX, 2, 0)],
    ids=["factors", "answers", "a vector of A", "a vector of H", "sums of A", "sums of H"],
)
def test_a_bad_ciphertext_is_refused(bad: Any, culprit: Any, number: int, index: int) -> None:
    with pytest.raises(PeerError) as caught:
        under_paillier(Case((1, 1), n=60), tamper=replace(Encrypted, number, changed(index, bad), culprit))
    assert (caught.value.culprit, caught.value.code) == (culprit, "CIPHERTEXT_INVALID")


def test_an_answer_that_fits_no_slot_is_refused() -> None:
    """A random number below the square is a ciphertext of something, which no answer gives."""
    rng = np.random.default_rng(0)

    def random(row: bytes) -> bytes:
        return b"\x00" + rng.bytes(len(row) - 1)

    for number in (0, 2):
        with pytest.raises(PeerError) as caught:
            under_paillier(Case((1, 1), n=60), tamper=replace(Encrypted, number, changed(0, random), TAX))
        assert (caught.value.culprit, caught.value.code) == (TAX, "CIPHERTEXT_INVALID")


def test_ones_own_ciphertexts_do_not_come_back() -> None:
    sent: list[bytes] = []

    def keep(message: Encrypted) -> Encrypted:
        sent.append(message.data[:256])
        return message

    def back(message: Encrypted) -> Encrypted:
        return Encrypted(message.first, sent[0] + message.data[256:])

    first, second = replace(Encrypted, 0, keep, BANK), replace(Encrypted, 0, back, TAX)

    def tamper(link: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        return second(link, *first(link, tag, body))

    with pytest.raises(PeerError) as caught:
        under_paillier(Case((1, 1), n=60), tamper=tamper)
    assert (caught.value.culprit, caught.value.code) == (TAX, "CIPHERTEXT_INVALID")


def test_no_ciphertext_is_sent_twice_and_answers_are_masked() -> None:
    """Nor does an answer say how it was made: two runs over the same rows share no ciphertext."""
    rows: list[bytes] = []

    def watch(_: Any, tag: int, body: bytes) -> tuple[int, bytes]:
        if tag == Encrypted.tag:
            data = Encrypted.decode(body).data
            rows.extend(data[at : at + 256] for at in range(0, len(data), 256))
        return tag, body

    for _ in range(2):
        under_paillier(Case((1, 1), n=60), tamper=watch)
    assert len(rows) > 1000
    assert len(set(rows)) == len(rows)


def test_a_further_party_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case((1, 1, 1), n=60)
    with pytest.raises(PeerError) as caught:
        under_paillier(case, tamper=replace(Encrypted, 0, changed(0, one), WATER))
    assert (caught.value.culprit, caught.value.code) == (WATER, "CIPHERTEXT_INVALID")
