"""A predicate as its file says it, and as it is asked: wording, parameters and their ladders, regions."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedcredit.errors import Problem, UsageError
from fedcredit.governance.catalog import Catalog, Permission
from fedcredit.governance.catalog.model import Authorization, Name, Subject, Text
from fedcredit.governance.predicates.answers import Enquiry
from fedcredit.governance.predicates.compiler import Program, Type

__all__ = ["SCHEMA", "Compiled", "ParameterEntry", "Predicate", "PredicateSet", "RegionTerms"]

SCHEMA = "fedcredit-predicates/1"

_MAX_TEXT, _MAX_TEXTS = 200, 100

Rung = Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)] | Annotated[str, Field(max_length=100)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ParameterEntry(_Entry):
    """A value that the enquirer brings.

    `ladder`: the only values it may have. A number without one would let the value behind be found by halving, so it
    must say `match`: the enquirer holds that value already, and learns only whether it is right.
    """

    type: Literal["number", "text", "texts"]
    ladder: Annotated[tuple[Rung, ...], Field(strict=False, max_length=100)] = ()
    unit: Text | None = None
    match: bool = False


class RegionTerms(_Entry):
    """A region in which it can be asked.

    `fields`: whether the document prints the fields, or the item only. `authorization`: whose it takes. `asked`: at
    each `call` of the department, before the `release` of the answer, or `never`.
    """

    id: Name
    fields: Literal["printed", "unprinted"]
    authorization: Authorization
    asked: Literal["call", "release", "never"]


class Predicate(_Entry):
    """A question with the answers yes, no and unknown.

    `no_record`: what it means that a subject has none: `nothing` in a register that is complete by law, else `unknown`.
    `assumed`: types of fields that no document prints.
    """

    id: Name
    item: Name
    expression: Annotated[str, Field(min_length=1, max_length=1000)]
    en: Text
    zh: Text
    note: Text | None = None
    subject: Subject
    no_record: Literal["nothing", "unknown"]
    assumed: dict[Name, Type] = {}
    parameters: dict[Name, ParameterEntry] = {}
    regions: Annotated[tuple[RegionTerms, ...], Field(strict=False, min_length=1, max_length=100)]


class PredicateSet(_Entry):
    """The head of a file of predicates. `version` is raised with every change."""

    schema_: Annotated[Literal["fedcredit-predicates/1"], Field(alias="schema")]
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    title: Text


@dataclass(frozen=True, slots=True)
class Compiled:
    """A predicate that has been checked against the catalogs, with its program."""

    predicate: Predicate
    program: Program

    def permission(self, catalog: Catalog) -> Permission:
        """Whose authorisation it takes in that region: of all items and fields that the answer rests on.

        Raises: UsageError (CATALOG_NO_ITEM) if the region has no such item.
        """
        share, release = set[Subject](), set[Subject]()
        for item in self.program.items:
            fields = self.program.fields.get(item, ())
            found = catalog.permission(item, fields=fields, subject=self.predicate.subject)
            share |= found.share
            release |= found.release
        return Permission(frozenset(share), frozenset(release))

    def key(self, item: str, catalog: Catalog) -> tuple[str, str] | None:
        """By which field of `item` the subject's records are found, and whether by `subject` or `subject_name`.

        None: neither the expression nor the region's catalog says it, and the department has to.
        """
        if item in self.program.keys:
            return self.program.keys[item]
        entry = catalog.item(item)
        if entry is None or entry.subject_key is None:
            return None
        field = entry.field(entry.subject_key)
        by_name = field is not None and field.type == "string" and field.format is None
        return entry.subject_key, "subject_name" if by_name else "subject"

    def enquiry(
        self,
        values: Mapping[str, float | str | tuple[str, ...]],
        asof: datetime.date,
        *,
        complete: bool | None = None,
        max_age_days: int | None = None,
        institution: str | None = None,
    ) -> Enquiry:
        """An enquiry with these values of the parameters. `complete`: the department's own word on its register.

        Raises: UsageError with all problems (PREDICATE_PARAMETER: missing, unknown, of another type;
        PREDICATE_LADDER: not on the ladder).
        """
        declared, problems = self.predicate.parameters, list[Problem]()
        for name in sorted({*declared, *values}):
            where = f"predicate {self.predicate.id}: parameter {name[:64]}"
            if name not in declared:
                known = ", ".join(declared) or "it has none"
                problems.append(
                    Problem("PREDICATE_PARAMETER", where, "is not one of this predicate", f"known: {known}")
                )
            elif name not in values:
                problems.append(Problem("PREDICATE_PARAMETER", where, "is missing", f"give a {declared[name].type}"))
            else:
                problems += _wrong(where, declared[name], values[name])
        if "institution" in self.program.parameters and not institution:
            where = f"predicate {self.predicate.id}"
            problems.append(Problem("PREDICATE_PARAMETER", where, "asks for the enquirer's own code", "give it"))
        if problems:
            raise UsageError(problems)
        given: dict[str, float | str | bool | tuple[str, ...]] = {
            name: float(value) if isinstance(value, int | float) else value for name, value in values.items()
        }
        if institution:
            given["institution"] = institution
        closed = self.predicate.no_record == "nothing" if complete is None else complete
        return Enquiry(asof=asof, parameters=given, complete=closed, max_age_days=max_age_days)


def _wrong(where: str, entry: ParameterEntry, value: object) -> list[Problem]:
    fits = {
        "number": isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value),
        "text": isinstance(value, str) and 0 < len(value) <= _MAX_TEXT,
        "texts": isinstance(value, tuple)
        and 0 < len(value) <= _MAX_TEXTS
        and all(isinstance(one, str) and 0 < len(one) <= _MAX_TEXT for one in value),
    }
    if not fits[entry.type]:
        return [Problem("PREDICATE_PARAMETER", where, f"is not a {entry.type}")]
    if entry.ladder and value not in entry.ladder:
        ladder = ", ".join(map(str, entry.ladder))
        return [Problem("PREDICATE_LADDER", where, "is not on the ladder", f"one of {ladder}")]
    return []
