"""Any threshold of the shares give the secret; one less gives every secret alike; bad shares are told by a code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.crypto.secret_sharing import MAX_SHARES, BadShares, combine, split
from fedcredit.errors import DataError
from fedcredit.ids import PartyId
from fedcredit.kernels import reference_masks as reference

SECRETS = np.arange(96, dtype=np.uint8).reshape(3, 32)


@given(n=st.integers(1, 40), data=st.data())
def test_any_threshold_shares_give_the_secrets(n: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, n))
    shares = split(SECRETS, n, threshold, insecure_seeded(n))
    held = data.draw(st.permutations(range(n)))[: data.draw(st.integers(threshold, n))]
    assert np.array_equal(combine(held, shares[held], threshold), SECRETS)


def test_the_most_shares_there_are() -> None:
    shares = split(SECRETS, MAX_SHARES, 170, insecure_seeded(1))
    places = list(range(MAX_SHARES))[-170:]
    assert np.array_equal(combine(places, shares[places], 170), SECRETS)


def test_one_share_too_few_fits_every_secret() -> None:
    # Two shares of a threshold of three: for each value of the secret there is one polynomial through it and them, and
    # since coefficients are uniform, each of those was equally likely.
    shares = split(SECRETS, 5, 3, insecure_seeded(2))[[1, 4], 0, 0]
    points = [(2, int(shares[0])), (5, int(shares[1]))]
    thirds = {reference.interpolate(1, [*points, (0, secret)]) for secret in range(256)}
    assert len(thirds) == 256


def test_shares_below_the_threshold_are_uniform() -> None:
    # Over all coefficients of a line, the one share of place 3 takes each value once, whatever the secret is.
    for secret in (0, 1, 0x53, 0xFF):
        assert {reference.split(secret, [coefficient], 4)[3] for coefficient in range(256)} == set(range(256))


def test_a_secret_is_not_split_twice_alike() -> None:
    source = insecure_seeded(3)
    first, second = split(SECRETS, 4, 2, source), split(SECRETS, 4, 2, source)
    assert (first != second).mean() > 0.9
    assert np.array_equal(split(SECRETS, 4, 1, source), np.broadcast_to(SECRETS, (4, 3, 32)))


@pytest.mark.parametrize(
    ("places", "threshold", "code"),
    [
        ([0, 1, 2], 4, "SHARES_FEW"),
        ([], 1, "SHARES_FEW"),
        ([0, 1, 2], 0, "SHARES_FEW"),
        ([0, 1, 1], 2, "SHARES_PLACES"),
        ([0, 1, -1], 2, "SHARES_PLACES"),
        ([0, 1, 255], 2, "SHARES_PLACES"),
        ([0, 1, 3], 2, "SHARES_DIFFER"),
    ],
)
def test_bad_shares_are_told_by_their_code(places: list[int], threshold: int, code: str) -> None:
    shares = split(SECRETS, 5, 2, insecure_seeded(4))[[0, 1, 2]][: len(places)]
    with pytest.raises(BadShares) as refusal:
        combine(places, shares, threshold)
    assert refusal.value.code == code
    assert isinstance(refusal.value, DataError)
    peer = refusal.value.of_peer(PartyId("tax"), "unmask")
    assert (peer.code, peer.culprit, peer.step) == (code, "tax", "unmask")


def test_a_changed_share_is_told_where_there_are_more_than_enough() -> None:
    shares = split(SECRETS, 5, 3, insecure_seeded(5))
    shares[2, 1, 7] ^= 1
    with pytest.raises(BadShares) as refusal:
        combine([0, 1, 2, 3], shares[:4], 3)
    assert refusal.value.code == "SHARES_DIFFER"


def test_other_shapes_are_refused() -> None:
    shares = split(SECRETS, 3, 2, insecure_seeded(6))
    for bad in (shares[0], shares[:, :, :31], shares.astype(np.int64), shares[:, :0], shares[:2]):
        with pytest.raises(BadShares) as refusal:
            combine([0, 1, 2], bad, 2)
        assert refusal.value.code == "SHARES_SHAPE"
    for n, threshold in ((3, 4), (3, 0), (256, 2)):
        with pytest.raises(ValueError, match="within"):
            split(SECRETS, n, threshold, insecure_seeded(7))
    with pytest.raises(ValueError, match="secrets"):
        split(SECRETS[:, :16], 3, 2, insecure_seeded(7))
