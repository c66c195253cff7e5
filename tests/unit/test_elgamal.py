"""Numbers under a key, its record and proof, and masks that cancel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.crypto.elgamal import MAX_VALUES, PointTable, PrivateKey, PublicKey, Validity, add, check_points
from fedcredit.crypto.elgamal_checks import BadKey, BadRange
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.zero_sum import Member, PairKey, ZeroSum
from fedcredit.kernels.reference_group import L

YEAR = Validity(1_800_000_000, 1_831_536_000)
KEY = PrivateKey.generate("bank", "scores-2027", YEAR, insecure_seeded(1))
TABLE = PointTable(-300, 900)
PAIRS = [PairKey.generate(insecure_seeded(seed, "pair")) for seed in range(5)]
MEMBERS = [Member(name, pair.public) for name, pair in zip("abcde", PAIRS, strict=True)]

numbers = st.lists(st.integers(-100, 300), min_size=1, max_size=20)


@settings(max_examples=20, deadline=None)
@given(
    parts=st.lists(st.lists(st.integers(-100, 300), min_size=4, max_size=4), min_size=1, max_size=3),
    seed=st.integers(0, 99),
)
def test_sums_of_parts_are_read_by_the_owner_of_the_key(parts: list[list[int]], seed: int) -> None:
    source = insecure_seeded(seed)
    ciphertexts = [KEY.public.encrypt_numbers(np.array(part), source) for part in parts]
    found, known = KEY.open(np.stack(ciphertexts), TABLE)
    assert known.all()
    assert found.tolist() == np.sum(parts, axis=0).tolist()
    total = ciphertexts[0]
    for more in ciphertexts[1:]:
        total = add(total, more)
    again = KEY.public.randomise(total, source)
    check_points(again)
    assert (again != total).reshape(-1, 2, 32).any(axis=2).all(), "both halves of every row are others"
    assert KEY.open(again[None], TABLE)[0].tolist() == found.tolist()


def test_what_is_outside_of_the_table_is_not_found() -> None:
    values = np.array([-301, -300, 0, 900, 901, 2**62, -(2**63)])
    found, known = KEY.open(KEY.public.encrypt_numbers(values, insecure_seeded(2))[None], TABLE)
    assert known.tolist() == [False, True, True, True, False, False, False]
    assert found.tolist() == [0, -300, 0, 900, 0, 0, 0]


def test_a_table_holds_every_number_of_its_range_and_not_too_many() -> None:
    table = PointTable(-5, MAX_VALUES - 6)
    values = np.arange(-5, MAX_VALUES - 5, 97)
    found, known = KEY.open(KEY.public.encrypt_numbers(values, insecure_seeded(3))[None], table)
    assert known.all()
    assert (found == values).all()
    for low, high in ((0, MAX_VALUES), (1, 0), (2**62, 2**62 + 1)):
        with pytest.raises(BadRange, match="SCORE_RANGE"):
            PointTable(low, high)


def test_a_record_is_of_its_owner_name_and_time() -> None:
    public = KEY.public
    again = PublicKey(public.owner, public.name, public.validity, public.point, public.proof)
    assert again.fingerprint == public.fingerprint
    other = PrivateKey.generate("bank", "scores-2027", YEAR, insecure_seeded(7)).public
    assert other.fingerprint != public.fingerprint
    changes: list[dict[str, object]] = [
        {"owner": "rival"},
        {"name": "scores-2028"},
        {"owner": "banks", "name": "cores-2027"},
        {"validity": Validity(YEAR.begins, YEAR.ends + 1)},
        {"validity": Validity(YEAR.begins - 1, YEAR.ends)},
        {"point": other.point},
        {"proof": other.proof},
        {"point": bytes(32)},
        {"proof": b""},
        {"name": ""},
        {"owner": "b\n"},
        {"owner": "x" * 65},
    ]
    for change in changes:
        held = {field: getattr(public, field) for field in ("owner", "name", "validity", "point", "proof")} | change
        with pytest.raises(BadKey, match="KEY_INVALID"):
            PublicKey(**held)  # type: ignore[arg-type]
    with pytest.raises(BadKey):
        Validity(5, 5)
    assert [YEAR.covers(second) for second in (YEAR.begins - 1, YEAR.begins, YEAR.ends - 1, YEAR.ends)] == [
        False,
        True,
        True,
        False,
    ]


def test_a_private_key_is_read_back_for_its_own_record_alone() -> None:
    again = PrivateKey.from_bytes(KEY.to_bytes(), KEY.public)
    ciphertext = KEY.public.encrypt_numbers(np.array([7]), insecure_seeded(4))
    assert again.open(ciphertext[None], TABLE)[0].tolist() == [7]
    other = PrivateKey.generate("bank", "other", YEAR, insecure_seeded(8))
    for secret in (other.to_bytes(), bytes(32), b"\xff" * 32):
        with pytest.raises(BadKey):
            PrivateKey.from_bytes(secret, KEY.public)
    assert not other.open(ciphertext[None], TABLE)[1].any(), "another key finds nothing"


def test_secrets_are_not_shown() -> None:
    sums = ZeroSum(MEMBERS[:2], 0, PAIRS[0], b"c")
    for shown in (repr(KEY), repr(PAIRS[0]), repr(sums), repr(dataclasses.asdict(YEAR))):
        assert KEY.to_bytes().hex() not in shown
        assert repr(KEY.to_bytes()) not in shown
        assert repr(PAIRS[0].to_bytes()) not in shown


@settings(max_examples=20, deadline=None)
@given(n_members=st.integers(1, 5), values=numbers, first=st.integers(0, 10**5), data=st.data())
def test_masks_cancel_over_all_members_and_only_over_all(
    n_members: int, values: list[int], first: int, data: st.DataObject
) -> None:
    n, members = len(values), MEMBERS[:n_members]
    sums = [ZeroSum(members, place, PAIRS[place], b"context") for place in range(n_members)]
    own, none = np.array(values), np.zeros((n, 64), np.uint8)
    words = [masks.words(own.astype(np.uint64), first) for masks in sums]
    scalars = [masks.scalars(own, first, none) for masks in sums]
    numbers = [[int.from_bytes(row.tobytes(), "little") for row in part] for part in scalars]
    assert (np.sum(words, axis=0, dtype=np.uint64).view(np.int64) == own * n_members).all()
    assert [sum(column) % L for column in zip(*numbers, strict=True)] == [n_members * value % L for value in values]
    if n_members > 1:
        some = data.draw(st.lists(st.integers(0, n_members - 1), min_size=1, max_size=n_members - 1, unique=True))
        partial = [sum(column) % L for column in zip(*(numbers[place] for place in some), strict=True)]
        assert all(TABLE.high < value < L + TABLE.low for value in partial)


@pytest.mark.parametrize(
    "changed",
    [
        lambda: ZeroSum(MEMBERS[:2], 0, PAIRS[0], b"other context"),
        lambda: ZeroSum([MEMBERS[0], MEMBERS[2]], 0, PAIRS[0], b"context"),
        lambda: ZeroSum([MEMBERS[0], Member("z", MEMBERS[1].public)], 0, PAIRS[0], b"context"),
    ],
    ids=["context", "key", "name"],
)
def test_masks_are_bound_to_context_members_and_rows(changed: Callable[[], ZeroSum]) -> None:
    zeros = np.zeros(8, np.int64)
    none = np.zeros((8, 64), np.uint8)
    masks = ZeroSum(MEMBERS[:2], 0, PAIRS[0], b"context")
    kept, other = masks.scalars(zeros, 0, none), changed().scalars(zeros, 0, none)
    assert (kept != other).any(axis=1).all()
    assert (masks.scalars(zeros, 8, none) != kept).any(axis=1).all()
    assert (masks.words(zeros.astype(np.uint64), 0) != changed().words(zeros.astype(np.uint64), 0)).all()


def test_keys_of_low_order_and_of_others_are_refused() -> None:
    for low in (bytes(32), (1).to_bytes(32, "little"), (2**255 - 20).to_bytes(32, "little")):
        with pytest.raises(BadKey, match="KEY_INVALID"):
            ZeroSum([MEMBERS[0], Member("z", low)], 0, PAIRS[0], b"context")
    with pytest.raises(BadKey):
        PairKey.from_bytes(b"short")
    for members, place, key in ((MEMBERS, 1, PAIRS[0]), (MEMBERS, 5, PAIRS[0]), ([MEMBERS[0]] * 2, 0, PAIRS[0])):
        with pytest.raises(ValueError, match="zero-sum"):
            ZeroSum(members, place, key, b"context")


def test_the_shared_secret_is_that_of_rfc_7748() -> None:
    """RFC 7748, section 6.1."""
    alice, bob = (
        PairKey.from_bytes(bytes.fromhex(secret))
        for secret in (
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
        )
    )
    assert alice.public.hex() == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
    shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    assert alice.shared_with(bob.public).hex() == bob.shared_with(alice.public).hex() == shared


def test_shared_secrets_are_kept_and_not_without_bound() -> None:
    key, others = PairKey.generate(insecure_seeded(20)), [PairKey.generate(insecure_seeded(i)) for i in range(30, 330)]
    secrets = [key.shared_with(other.public) for other in others]
    assert [key.shared_with(other.public) for other in others] == secrets
    assert len(set(secrets)) == len(others)
    assert len(key._shared) <= 256
