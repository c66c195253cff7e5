"""What `fedcredit bench score` runs: real requests, whose totals it compares itself, and every scheme beside it."""

from __future__ import annotations

import itertools

import pytest

from fedcredit.cli.bench import BENCHES, Options
from fedcredit.cli.benches import score


def test_one_request_and_a_batch_are_measured() -> None:
    assert BENCHES["score"] == "fedcredit.cli.benches.score:run"
    rows = list(itertools.islice(score.run(Options((50,), 1, {"requests": "3", "providers": "2"})), 2))
    assert [row["case"]["rows"] for row in rows] == [1, 50]
    single, batch = rows
    assert 0 < single["seconds"]["p50"] <= single["seconds"]["p99"]
    assert batch["rate"] > 0
    # A subject costs each provider a code, a consent's hash and a part: 18, 32 and 72 bytes.
    assert 2 * 122 < batch["bytes_each"] < 2 * 122 + 1200 / 50 * 2


@pytest.mark.slow
def test_every_scheme_gives_the_same_sums() -> None:
    rows = list(score.run(Options((10,), 1, {"requests": "1"})))[2:]
    assert [row["case"]["scheme"] for row in rows] == list(score._SCHEMES)
    assert all(row["processor_us"]["encrypt"] > 0 and row["bytes_each"] >= 8 for row in rows)
