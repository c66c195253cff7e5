"""When a job that leaves the mode open takes `unbalanced`, and that all who sign it are told what it shows."""

from __future__ import annotations

from typing import Any

import pytest

from fedcredit.ids import PartyId
from fedcredit.node.platform import make_proposal
from fedcredit.node.specification import JobSpecification

BANK, TAX, REGISTRY = PartyId("bank"), PartyId("tax"), PartyId("registry")


def specification(rows: dict[PartyId, int], kept: set[PartyId], **section: Any) -> JobSpecification:
    definition = {
        "job": {"name": "few", "purpose": "research", "seed": 1, "trust": "semi-honest"},
        "parties": [{"id": p, "role": "label" if p == BANK else "feature"} for p in rows],
        "intersect": {"mode": "auto", "min_size": 10, "receiver_only": True} | section,
        "split": None,
        "models": [],
    }
    proposal = make_proposal(definition, PartyId("platform"))
    offers = {
        p: proposal.party(p).offering(
            rows=n, features=0, commitment=bytes(32), subjects=bytes(32), certificate=b"c", unbalanced=p in kept
        )
        for p, n in rows.items()
    }
    found = proposal.with_offers(offers)
    # Whoever signs finds the proposal in it, byte for byte, and reads the same out of its bytes.
    assert found.proposal().to_bytes() == proposal.to_bytes()
    assert JobSpecification.parse(found.to_bytes()) == found
    assert found.leakage == found.derive_leakage()
    return found


def shows_filter(found: JobSpecification) -> bool:
    return "align.filter" in {row.id for row in found.leakage}


def test_a_filter_that_both_keep_is_used_for_a_few_against_many() -> None:
    found = specification({BANK: 1_000, TAX: 100_000}, {BANK, TAX})
    assert found.intersect_choice.mode == "unbalanced"
    assert "100,000" in found.intersect_choice.why
    assert found.intersect_modes == {"unbalanced"}
    assert shows_filter(found)
    assert not shows_filter(found.proposal())


@pytest.mark.parametrize(
    ("rows", "kept", "section", "mode"),
    [
        ({BANK: 1_000, TAX: 99_999}, {BANK, TAX}, {}, "ecdh"),
        ({BANK: 1_001, TAX: 100_000}, {BANK, TAX}, {}, "fast"),
        ({BANK: 100_000, TAX: 1_000}, {BANK, TAX}, {}, "fast"),
        ({BANK: 1_000, TAX: 100_000}, {TAX}, {}, "fast"),
        ({BANK: 1_000, TAX: 100_000}, {BANK}, {}, "fast"),
        ({BANK: 1_000, TAX: 100_000}, {BANK, TAX}, {"receiver_only": False}, "fast"),
        ({BANK: 1_000, TAX: 100_000}, {BANK, TAX}, {"size_only": True}, "ecdh"),
        ({BANK: 1_000, TAX: 100_000}, {BANK, TAX}, {"mode": "ecdh"}, "ecdh"),
        ({BANK: 10, TAX: 100_000, REGISTRY: 100_000}, {BANK, TAX, REGISTRY}, {}, "fast"),
    ],
)
def test_in_any_other_case_it_is_not(
    rows: dict[PartyId, int], kept: set[PartyId], section: dict[str, Any], mode: str
) -> None:
    found = specification(rows, kept, **section)
    assert found.intersect_choice.mode == mode
    assert not shows_filter(found)
