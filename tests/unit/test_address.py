"""Addresses that somebody else has said: what gRPC would dial beyond a host and a port is refused."""

from __future__ import annotations

import pytest

from fedcredit.errors import RefusedError
from fedcredit.ids import PartyId
from fedcredit.node.canonical_json import canonical
from fedcredit.node.coordinator import addresses_of
from fedcredit.transport.address import is_address

TAX, BANK = PartyId("tax"), PartyId("bank")


@pytest.mark.parametrize("text", ["tax.example:7443", "10.0.0.7:1", "[::1]:65535", "localhost:443", "relay://tax"])
def test_a_host_with_a_port_and_the_partys_own_place_at_the_relay_are_addresses(text: str) -> None:
    assert is_address(text, TAX)
    assert addresses_of(canonical({TAX: text}), (TAX, BANK)) == {TAX: text}


@pytest.mark.parametrize(
    "text",
    [
        *("unix:/run/other.sock", "unix:1", "UNIX:1", "unix-abstract:7", "vsock:7", "vsock:1:7"),
        *("dns:7443", "dns:///tax.example:7443", "ipv4:10.0.0.7:1,10.0.0.8:1", "xds:7", "http://tax.example:80"),
        *("relay://bank", "relay://", "tax.example", "tax.example:0", "tax.example:65536", "tax.example:7443\n"),
        *(":7443", "::1:7443", "", "a" * 255 + ":1", "tax example:7443", "tax.example:7443/x"),
    ],
)
def test_nothing_else_is_dialled(text: str) -> None:
    assert not is_address(text, TAX)
    with pytest.raises(RefusedError) as refused:
        addresses_of(canonical({TAX: text}), (TAX, BANK))
    assert refused.value.code == "SPEC_INVALID"


def test_addresses_of_parties_that_take_no_part_are_refused() -> None:
    with pytest.raises(RefusedError, match="takes no part"):
        addresses_of(canonical({"stranger": "tax.example:7443"}), (TAX, BANK))
