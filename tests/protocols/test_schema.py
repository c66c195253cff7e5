"""Members find out whether they have the same columns, and who has not, in any order of delivery."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from horizontal.plain_sums import federations
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.errors import DataError, PeerError
from fedcredit.estimators.horizontal_schema import Schema, agree_schema
from fedcredit.ids import PartyId
from fedcredit.protocols.schema import SchemaLeader, SchemaMember
from fedcredit.tables import Column
from fedcredit.transport.memory import run_network
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.schema import ColumnsCompared, ColumnShape, ColumnsVerdict, SharedColumns

A, B, C = MEMBERS = tuple(map(PartyId, ("a", "b", "c")))
COLUMNS = (
    ColumnShape("debt", "numeric", (), (-1.0, -2.0)),
    ColumnShape("town", "categorical", ("north", "south")),
    ColumnShape("age", "numeric"),
)


def roles(*columns: tuple[ColumnShape, ...]) -> dict[PartyId, Any]:
    first, *others = columns
    return {A: SchemaLeader(MEMBERS[1:], first).steps()} | {
        member: SchemaMember(A, own).steps() for member, own in zip(MEMBERS[1:], others, strict=True)
    }


@settings(max_examples=20)
@given(st.data())
def test_the_same_columns_come_out_in_the_leader_s_order(data: st.DataObject) -> None:
    mixed = roles(COLUMNS, tuple(data.draw(st.permutations(COLUMNS))), COLUMNS)
    played = run_network(mixed, insecure_in_process=True, pick=lambda links: data.draw(st.sampled_from(links)))
    assert {member: found.agreed() for member, found in played.results.items()} == dict.fromkeys(MEMBERS, COLUMNS)
    sizes = {(sender, receiver, kind) for sender, receiver, kind, _ in played.traffic}
    assert len(played.traffic) == len(sizes) == 6


def column(shape: ColumnShape) -> Column:
    return Column(shape.name, shape.kind, np.zeros(1), shape.levels, shape.special)


def agreed(*columns: tuple[ColumnShape, ...]) -> list[Any]:
    async def everybody() -> list[Any]:
        each = (
            agree_schema(federation, {shape.name: column(shape) for shape in own}, "schema")
            for federation, own in zip(federations(len(columns)), columns, strict=True)
        )
        return await asyncio.gather(*each, return_exceptions=True)

    return asyncio.run(everybody())


def test_members_that_differ_are_named_everywhere_with_their_columns() -> None:
    debt, town, _age = COLUMNS
    second = (debt, ColumnShape("town", "categorical", ("north", "west")), ColumnShape("age", "categorical", ("1",)))
    third = (ColumnShape("debt", "numeric", (), (-1.0,)), town, ColumnShape("more", "numeric"))
    found = agreed(COLUMNS, second, third)
    for error in found:
        assert isinstance(error, DataError)
        assert [problem.code for problem in error.problems] == ["COLUMNS_DIFFER"] * 2
        assert [problem.where for problem in error.problems] == ["city-1", "city-2"]
        assert error.problems[0].what == "has age of another kind; has other levels of town"
        assert error.problems[1].what == "lacks age; has more besides; has other special values of debt"
    assert agreed(COLUMNS, COLUMNS[::-1]) == [Schema(COLUMNS)] * 2


def test_a_leader_that_hides_a_difference_is_named() -> None:
    def liar() -> Any:
        from fedcredit.protocols.effects import recv, send

        yield from send(B, SharedColumns.of(COLUMNS))
        yield from recv(B, ColumnsCompared)
        yield from send(B, ColumnsVerdict.of({}))

    with pytest.raises(PeerError) as caught:
        run_network({A: liar(), B: SchemaMember(A, COLUMNS[:1]).steps()}, insecure_in_process=True)
    assert (caught.value.culprit, caught.value.code) == (A, "CONFLICT")


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (SharedColumns, b"{}"),
        (SharedColumns, b'[["a","numeric",[],[]],["a","numeric",[],[]]]'),
        (SharedColumns, b'[["a","text",[],[]]]'),
        (SharedColumns, b'[["a","numeric",["x","x"],[]]]'),
        (SharedColumns, b'[["a","numeric",[],[NaN]]]'),
        (SharedColumns, b'[["a\\u0000","numeric",[],[]]]'),
        (SharedColumns, b"[" * 100_000),
        (ColumnsCompared, b'{"other":["a"]}'),
        (ColumnsCompared, b'{"kind":[]}'),
        (ColumnsVerdict, b'{"b":[]}'),
        (ColumnsVerdict, b"\xff\xff"),
    ],
)
def test_other_documents_are_refused(kind: Any, document: bytes) -> None:
    with pytest.raises(MessageInvalid):
        kind(document)
