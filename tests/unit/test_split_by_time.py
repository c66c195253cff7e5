"""The split by time: all parties hold out the same rows, and a wrong number of marks names the label party."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import PeerError
from fedcredit.ids import PartyId
from fedcredit.protocols.split import SplitFollower, SplitLeader
from fedcredit.transport.memory import run_network
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.split import HeldOut

BANK, TAX, FUND = PartyId("bank"), PartyId("tax"), PartyId("fund")


@given(marks=st.lists(st.booleans(), max_size=50), data=st.data())
def test_all_parties_hold_out_the_same_rows_in_any_order_of_delivery(marks: list[bool], data: st.DataObject) -> None:
    test = np.array(marks, bool)
    outcome = run_network(
        {
            BANK: SplitLeader((TAX, FUND), test).steps(),
            TAX: SplitFollower(BANK, len(marks)).steps(),
            FUND: SplitFollower(BANK, len(marks)).steps(),
        },
        insecure_in_process=True,
        pick=lambda links: data.draw(st.sampled_from(links)),
    )
    assert all(np.array_equal(found, test) for found in outcome.results.values())
    # Its size depends on the number of rows alone.
    empty = HeldOut(np.zeros(len(marks), np.uint8))
    assert {size for *_, size in outcome.traffic} == {len(empty.encode())}


def test_another_number_of_marks_names_the_label_party() -> None:
    roles = {BANK: SplitLeader((TAX,), np.ones(4, bool)).steps(), TAX: SplitFollower(BANK, 5).steps()}
    with pytest.raises(PeerError) as refused:
        run_network(roles, insecure_in_process=True)
    assert (refused.value.culprit, refused.value.code) == (BANK, "MESSAGE_INVALID")


def test_a_mark_is_zero_or_one() -> None:
    with pytest.raises(MessageInvalid, match="ARRAY_INVALID"):
        HeldOut(np.array([0, 2], np.uint8))


@given(st.binary(max_size=64))
def test_bytes_of_a_stranger_decode_or_are_refused(data: bytes) -> None:
    try:
        message = HeldOut.decode(data)
    except MessageInvalid:
        return
    assert HeldOut.decode(message.encode()).rows.tolist() == message.rows.tolist()
