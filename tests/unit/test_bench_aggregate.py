"""What `fedcredit bench aggregate` runs: sums that it checks itself, with parties lost when it says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fedcredit.cli.bench import BENCHES, Options
from fedcredit.cli.benches import aggregate
from fedcredit.cli.benches.aggregate_case import Case, FellSilent, until_lost
from fedcredit.errors import FedcreditError, UsageError
from fedcredit.transport.memory import Outcome, run_network
from fedcredit.wire.aggregate import CHUNK_WORDS


def played(case: Case) -> Outcome:
    roles = {name: case.role(place, bytes(32), "sum", case.values(place)) for place, name in enumerate(case.names)}
    silent = {name: sends for place, name in enumerate(case.names) if (sends := case.sends(place)) is not None}
    return run_network(roles, insecure_in_process=True, silent=silent)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (1, 0), (0, 1), (1, 1)])
def test_parties_are_lost_when_the_case_says(before: int, after: int) -> None:
    case = Case(7, 50, before, after)
    outcome = played(case)
    assert set(outcome.lost) == set(case.names[1 : 1 + before + after])
    for place, name in enumerate(case.names):
        if case.stays(place):
            case.check(outcome.results[name])
            assert outcome.results[name].members == 7 - before
    words = [size for *_, kind, size in outcome.traffic if kind in ("MaskedWords", "SumWords")]
    assert case.plain_bytes < sum(words) < case.plain_bytes + 40 * len(words)


def test_words_of_more_than_one_message_are_all_sent_before_a_party_is_lost() -> None:
    case = Case(4, CHUNK_WORDS + 5, after=1)
    outcome = played(case)
    case.check(outcome.results[case.names[0]])
    assert outcome.results[case.names[0]].members == 4


def test_a_party_raises_in_place_of_its_next_message() -> None:
    case = Case(4, 10, before=1)
    steps = until_lost(case.role(1, bytes(32), "sum", case.values(1)), 2)
    next(steps)
    steps.send(None)
    with pytest.raises(FellSilent):
        steps.send(None)


def test_another_sum_is_told() -> None:
    case = Case(5, 20)
    taken = played(case).results[case.names[0]]
    for wrong in (dataclasses.replace(taken, members=4), dataclasses.replace(taken, total=taken.total + 1e-9)):
        with pytest.raises(FedcreditError, match="not that of the vectors"):
            case.check(wrong)
    assert Case.from_json(case.to_json()) == case
    assert np.abs(taken.total).max() > 0


def test_there_are_two_kinds() -> None:
    assert BENCHES["aggregate"] == "fedcredit.cli.benches.aggregate:run"
    with pytest.raises(UsageError, match="together or apart"):
        next(aggregate.run(Options(settings={"kind": "alone"})))
    cases = list(aggregate._cases(Options()))
    assert (len(cases), len(set(cases))) == (14, 14)


@pytest.mark.slow
def test_parties_are_measured_in_one_process_and_in_one_each() -> None:
    settings = {"parties": "4", "after": "1", "peer": "0"}
    together, apart = aggregate.run(Options((3000,), 1, settings))
    assert [row["case"]["case"] for row in (together, apart)] == ["together", "apart"]
    for row in (together, apart):
        assert row["plain"] == 8 * 3000 * (3 + 2)
        assert row["plain"] < row["bytes"] < row["plain"] + 65536 * 6
        assert row["seconds"]["total"] > 0
        assert "peer" not in row
    assert apart["bytes"] > together["bytes"]
