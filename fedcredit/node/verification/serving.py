"""Which questions a department answers: those whose items it has tables for, in its region, as far as it wants to."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcredit.errors import Problem
from fedcredit.governance.predicates.compiler import Type
from fedcredit.governance.predicates.model import Compiled
from fedcredit.governance.verification.rules import Asked, VerifyPolicy
from fedcredit.ids import PartyId
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import printed_fields, shipped_predicates
from fedcredit.runtime.verify_file import VerifyItemSection, VerifySection

__all__ = ["NAMES", "LeftOut", "Offer", "Question", "Register", "offer_of", "unused"]

DEFAULT_KEY = "uscc"
NAMES = "names"
"""What the register of names is called among the items, none of which is called so."""


@dataclass(frozen=True, slots=True)
class Question:
    """A predicate that is answered. `consent_of`: whose word an institution needs; `level`: of the data behind it."""

    compiled: Compiled
    consent_of: tuple[str, ...]
    level: int
    complete: bool
    max_age_days: int | None

    @property
    def id(self) -> str:
        """The predicate's name."""
        return self.compiled.predicate.id

    @property
    def item(self) -> str:
        """The item that it is about, by which policy and budgets count."""
        return self.compiled.program.item

    def asked(self, requester: PartyId, purpose: str, now: datetime.datetime) -> Asked:
        """The question as a policy decides on it."""
        return Asked(
            requester=requester,
            purpose=purpose,
            predicate=self.id,
            item=self.item,
            level=self.level,
            needs_consent=bool(self.consent_of),
            now=now,
        )


@dataclass(frozen=True, slots=True)
class Register:
    """The table of an item: its columns by field, with their types, and by which column and what subjects are found."""

    item: str
    key: tuple[str, str]  # field, and "subject" or "subject_name"
    key_column: str
    columns: Mapping[str, str]
    types: Mapping[str, Type]
    recorded: str | None
    codes: bool
    """Whether keys are unified social credit codes, else any text."""

    @property
    def used(self) -> tuple[str, ...]:
        """The columns of the table that are read, but for the key's."""
        recorded = () if self.recorded is None else (self.recorded,)
        return tuple(dict.fromkeys(name for name in (*self.columns.values(), *recorded) if name != self.key_column))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A predicate of the region that is not answered, and what it would take."""

    predicate: str
    why: str


@dataclass(frozen=True, slots=True)
class Offer:
    """All that a department answers, and what it answers from."""

    region: str
    questions: tuple[Question, ...]
    registers: Mapping[str, Register]
    left_out: tuple[LeftOut, ...]

    def matches(self, item: str) -> bool:
        """Whether any question compares texts of the item with what the requester holds, in their normal form."""
        programs = [question for question in self.questions if item in question.compiled.program.items]
        if item == NAMES or any("subject_name" in question.compiled.program.parameters for question in programs):
            return True
        # A text without a ladder is one that the requester holds, whether its predicate says so or not.
        return any(
            (entry.match or not entry.ladder) and entry.type != "number"
            for question in programs
            for entry in question.compiled.predicate.parameters.values()
        )

    def question(self, predicate: str) -> Question | None:
        """The question of that name; None if it is not answered."""
        return next((question for question in self.questions if question.id == predicate), None)


def offer_of(section: VerifySection, policy: VerifyPolicy, names: Mapping[str, Sequence[str]] | None = None) -> Offer:
    """What the section and the policy offer. `names`: the columns of each item's table, once these have been opened.

    Without `names` every field counts as there under its own name, unless the section says another.
    """
    gathered = _Gathered(section, names)
    found: list[Question] = []
    left: list[LeftOut] = []
    for name, compiled in sorted(shipped_predicates().items()):
        if compiled.program.item not in section.items or not _is_asked(section, compiled):
            continue
        if (why := gathered.take(compiled)) is not None:
            left.append(LeftOut(name, why))
        else:
            found.append(_question(section, policy, compiled))
    registers = gathered.registers()
    if section.names is not None and any(register.key[1] == "subject_name" for register in registers.values()):
        registers[NAMES] = _names(section.names)
    return Offer(section.region, tuple(found), registers, tuple(left))


def _names(entry: VerifyItemSection) -> Register:
    """The register that says, by code, which name an enterprise has: else another's records could be asked for."""
    column = entry.fields.get("name", "name")
    key = entry.key or DEFAULT_KEY
    return Register(NAMES, (DEFAULT_KEY, "subject"), key, {"name": column}, {"name": "text"}, entry.recorded, True)


def _is_asked(section: VerifySection, compiled: Compiled) -> bool:
    predicate = compiled.predicate
    of_region = any(terms.id == section.region for terms in predicate.regions)
    return of_region and (section.predicates is None or predicate.id in section.predicates)


def _question(section: VerifySection, policy: VerifyPolicy, compiled: Compiled) -> Question:
    needed = compiled.permission(section.catalog)
    entry = section.items[compiled.program.item]
    return Question(
        compiled=compiled,
        consent_of=tuple(sorted(needed.share | needed.release)),
        level=policy.level(compiled.program.fields),
        complete=compiled.predicate.no_record == "nothing" if entry.complete is None else entry.complete,
        max_age_days=entry.max_age_days,
    )


class _Gathered:
    """The columns that questions look at, by item, as questions are taken in one after the other."""

    def __init__(self, section: VerifySection, names: Mapping[str, Sequence[str]] | None) -> None:
        self._section, self._names = section, names
        self._types = printed_fields(shipped_catalogs().values())
        self._keys: dict[str, tuple[str, str]] = {}
        self._columns: dict[str, dict[str, str]] = {}
        self._kinds: dict[str, dict[str, Type]] = {}

    def take(self, compiled: Compiled) -> str | None:
        """Take a question in; else why it cannot be answered."""
        program, mapped = compiled.program, dict[str, dict[str, str]]()
        for item in program.items:
            if item not in self._section.items:
                return f"no table of {item}"
            key = self._key_of(compiled, item)
            if self._keys.get(item, key) != key:
                return f"{item} is found by {self._keys[item][0]}, and this asks by {key[0]}"
            columns = {field: self._column(item, field) for field in program.fields.get(item, ())}
            if absent := [field for field, column in columns.items() if column is None]:
                return f"the table of {item} has no column {', '.join(absent)}"
            mapped[item] = {field: column for field, column in columns.items() if column is not None}
        for item, fields in mapped.items():
            known = {**self._types.get(item, {}), **(compiled.predicate.assumed if item == program.item else {})}
            self._keys[item] = self._key_of(compiled, item)
            self._columns.setdefault(item, {}).update(fields)
            self._kinds.setdefault(item, {}).update({field: known[field] for field in fields})
        return None

    def registers(self) -> dict[str, Register]:
        """The tables of all that was taken in."""
        return {item: self._register(item, key) for item, key in sorted(self._keys.items())}

    def _register(self, item: str, key: tuple[str, str]) -> Register:
        entry, printed = self._section.items[item], self._section.catalog.item(item)
        field = None if printed is None else printed.field(key[0])
        return Register(
            item=item,
            key=key,
            key_column=entry.key or self._column(item, key[0]) or key[0],
            columns=self._columns[item],
            types=self._kinds[item],
            recorded=entry.recorded,
            codes=key[1] == "subject" and (field is None or (field.type == "uscc" and field.format is None)),
        )

    def _key_of(self, compiled: Compiled, item: str) -> tuple[str, str]:
        return compiled.key(item, self._section.catalog) or (DEFAULT_KEY, "subject")

    def _column(self, item: str, field: str) -> str | None:
        said: str | None = self._section.items[item].fields.get(field)
        if said is not None or self._names is None:
            return said or field
        entry = self._section.catalog.item(item)
        printed = None if entry is None else entry.field(field)
        candidates: list[str] = [field] if printed is None else [field, printed.name]
        return next((name for name in candidates if name in self._names[item]), None)


def unused(section: VerifySection, offer: Offer) -> list[Problem]:
    """Items of which no question is answered: a table that nobody asks about."""
    return [
        Problem("VERIFY_UNUSED", f"verify.items.{item}", "no question is answered from it", "fedcredit predicate list")
        for item in section.items
        if item not in offer.registers
    ]
