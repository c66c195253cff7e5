"""The frozen states of stages: equal after a round trip, refused when they are anything else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.errors import FedcreditError
from fedcredit.runtime.state import StageState


@dataclass(frozen=True, slots=True)
class Sample(StageState):
    schema = "sample/1"
    rows: npt.NDArray[np.int64]
    marks: npt.NDArray[np.bool_]
    name: str
    count: int


@dataclass(frozen=True, slots=True)
class Other(StageState):
    schema = "other/1"
    rows: npt.NDArray[np.int64]


@given(rows=st.lists(st.integers(-(2**63), 2**63 - 1)), marks=st.lists(st.booleans()), name=st.text())
def test_a_state_thaws_to_what_was_frozen(rows: list[int], marks: list[bool], name: str) -> None:
    state = Sample(np.array(rows, np.int64), np.array(marks, bool), name, len(rows))
    thawed = Sample.thaw(state.freeze())
    assert np.array_equal(thawed.rows, state.rows)
    assert np.array_equal(thawed.marks, state.marks)
    assert (thawed.name, thawed.count) == (name, len(rows))
    assert thawed.freeze() == state.freeze()


@given(st.data())
def test_bytes_that_are_no_state_are_refused(data: st.DataObject) -> None:
    good = Sample(np.arange(3), np.ones(2, bool), "x", 1).freeze()
    cut = data.draw(st.integers(0, len(good) - 1))
    for bad in (good[:cut], good + b"x", b"", b"fcstate1\xff\xff\xff\xff", data.draw(st.binary(max_size=64))):
        with pytest.raises(FedcreditError, match="STATE_INVALID"):
            Sample.thaw(bad)


def test_a_state_of_another_schema_is_refused() -> None:
    with pytest.raises(FedcreditError, match="STATE_INVALID"):
        Other.thaw(Sample(np.arange(3), np.ones(2, bool), "x", 1).freeze())
