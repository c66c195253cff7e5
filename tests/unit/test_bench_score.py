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


def test_bands_are_measured_and_what_they_would_cost_by_a_ciphertext_for_each_total() -> None:
    single, batch = score._bands(Options((50,), 1, {}), 2, 3)
    assert 0 < single["seconds"]["p50"] <= single["seconds"]["p99"]
    # Of a subject: a code and a consent's hash to each provider, a word and a mark, two points, a table and a mark.
    least = 2 * 50 + 16 + 64 + 1024 + 8
    assert least < batch["bytes_each"] < least + 2000 / 50
    assert {"bank", "provider", "last"} < batch["processor_us"].keys()
    row = score._bands_by_elgamal(1)
    assert row["bytes_each"] == 64 * row["case"]["totals"]
    assert all(micros > 0 for micros in row["processor_us"].values())


@pytest.mark.slow
def test_every_scheme_gives_the_same_sums() -> None:
    found = list(score.run(Options((10,), 1, {"requests": "1"})))
    rows = [row for row in found if row["case"]["case"] == "scheme"]
    assert [row["case"]["scheme"] for row in rows] == [*score._SCHEMES, "bands by elgamal"]
    assert all(min(row["processor_us"].values()) > 0 and row["bytes_each"] >= 8 for row in rows)


def test_scores_of_trees_are_measured_in_place_of_those_of_cards() -> None:
    sizes = {"kind": "trees", "requests": "2", "providers": "2", "trees": "4", "depth": "3", "chunk": "20"}
    single, batch = score.run(Options((50,), 1, sizes))
    assert (single["case"]["rows"], batch["case"]["rows"]) == (1, 50)
    assert single["case"]["degree"] == 8192
    assert 0 < single["seconds"]["p50"] <= single["seconds"]["p99"]
    assert batch["rate"] > 0
    assert 0 < batch["error"] < 1e-6
    # Both ways of a vector from the bank to two providers and back, and answers: 177, twice 2 x 135 bits, and 48.
    assert batch["bytes"] > 3 * 1024 * (177 + 2 * 2 * 135 + 48)
