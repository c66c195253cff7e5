"""A dictionary against intersections, run on what each party saw: row 7 of the threat model."""

from __future__ import annotations

import pytest
from attacks.identifiers import BANK, MODES, TAX, Town, dictionary, found_by_protocol, secrets_of
from attacks.measures import BOUND


@pytest.mark.parametrize("adversary", ["receiver", "holder"])
@pytest.mark.parametrize("mode", MODES)
def test_a_dictionary_finds_nobody_outside_the_intersection(mode: str, adversary: str) -> None:
    finding = dictionary(Town(4000, mode), adversary)
    assert abs(finding.advantage) < BOUND
    # The same dictionary, where items travel before anything secret comes in.
    assert finding.control == 1.0


def test_a_dictionary_with_the_secrets_of_the_other_finds_everybody() -> None:
    """So it is the secrets that hold, and not the attack that is weak."""
    town = Town(2000, "fast")
    assert found_by_protocol(town, town.both, town.view[BANK]).all()
    town = Town(2000, "ecdh")
    stolen = secrets_of(town.view[BANK])
    assert found_by_protocol(town, town.only_bank, town.view[TAX], stolen).all()
    town = Town(2000, "unbalanced")
    assert found_by_protocol(town, town.only_tax, town.view[BANK], {town.key.oprf.to_bytes()}).all()
    assert found_by_protocol(town, town.only_bank, town.view[TAX], secrets_of(town.view[BANK])).all()
