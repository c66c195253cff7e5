"""Items in a file, dealt out to buckets: the same as in memory, each once, with its row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedcredit.errors import DataError
from fedcredit.node import dealt
from fedcredit.node.dealt import DealtItems
from fedcredit.protocols.intersect.alignment import item_digests
from fedcredit.protocols.intersect.buckets import bucket_size, deal

SESSION = bytes(range(32))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(n=st.integers(1, 2_000), count=st.integers(2, 40), at_once=st.integers(1, 700))
def test_every_item_is_in_the_bucket_that_its_digest_names(n: int, count: int, at_once: int, tmp_path: Path) -> None:
    ids = np.array([f"subject {k * 31}".encode() for k in range(n)])
    items = item_digests(ids, SESSION, n)
    order, edges = deal(items, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dealt, "_ROWS_AT_ONCE", at_once)
        found = DealtItems(ids, SESSION, n, count, tmp_path)
    assert (found.n_rows, found.size) == (n, bucket_size(n, count))
    for number in range(count):
        own, rows = found.bucket(number)
        assert np.array_equal(rows, order[edges[number] : edges[number + 1]])
        assert np.array_equal(own, items[rows])
    assert not list(tmp_path.iterdir())


def test_a_repeated_identifier_is_found_in_its_bucket_and_told_by_its_row(tmp_path: Path) -> None:
    ids = np.array([f"{k % 299}".encode() for k in range(300)])
    found = DealtItems(ids, SESSION, 300, 4, tmp_path)
    refused = []
    for number in range(4):
        try:
            found.bucket(number)
        except DataError as error:
            refused.append((error.code, error.problems[0].where))
    assert refused == [("ID_DUPLICATE", "row 299")]


@pytest.mark.parametrize(("n", "code"), [(0, "SET_EMPTY"), (11, "SET_SIZE")])
def test_no_party_brings_nothing_or_more_than_was_agreed(n: int, code: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        DealtItems(np.array([f"{k}".encode() for k in range(n)], "S4"), SESSION, 10, 2, tmp_path)
    assert refused.value.code == code
