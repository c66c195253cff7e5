"""Which questions a department answers: those whose items it has tables for, in its region, as far as it wants to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedcredit.errors import Problem
from fedcredit.governance.predicates.compiler import Type
from fedcredit.governance.predicates.model import Compiled
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.predicate_file import printed_fields, shipped_predicates
from fedcredit.runtime.verify_file import VerifySection

__all__ = ["LeftOut", "Offer", "Question", "Register", "offer_of", "unused"]

DEFAULT_KEY = "uscc"


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


@dataclass(frozen=True, slots=True)
class Register:
    """The table of an item: its columns by field, with their types, and by which column and what subjects are found."""

    item: str
    key: tuple[str, str]  # field, and "subject" or "subject_name"
    key_column: str
    columns: Mapping[str, str]
    types: Mapping[str, Type]
    recorded: str | None

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

    def question(self, predicate: str) -> Question | None:
        """The question of that name; None if it is not answered."""
        return next((question for question in self.questions if question.id == predicate), None)


def offer_of(section: VerifySection, policy: VerifyPolicy, names: Mapping[str, Sequence[str]] | None = None) -> Offer:
    """What the section and the policy offer. `names`: the columns of each item's table, once these have been opened.

    Without `names` every field counts as there under its own name, unless the section says another.
    """
    catalog, items = section.catalog, section.items
    types = printed_fields(shipped_catalogs().values())
    keys: dict[str, tuple[str, str]] = {}
    found: list[Question] = []
    left: list[LeftOut] = []
    columns: dict[str, dict[str, str]] = {item: {} for item in items}
    kinds: dict[str, dict[str, Type]] = {item: {} for item in items}
    for name, compiled in sorted(shipped_predicates().items()):
        predicate, program = compiled.predicate, compiled.program
        if all(terms.id != section.region for terms in predicate.regions):
            continue
        if section.predicates is not None and name not in section.predicates:
            continue
        if missing := [item for item in program.items if item not in items]:
            if program.item in items:
                left.append(LeftOut(name, f"no table of {missing[0]}"))
            continue
        mapped: dict[str, dict[str, str]] = {}
        absent: list[str] = []
        clash = ""
        for item in program.items:
            key = compiled.key(item, catalog) or (DEFAULT_KEY, "subject")
            if keys.setdefault(item, key) != key:
                clash = f"{item} is found by {keys[item][0]}, and this asks by {key[0]}"
            mapped[item] = {}
            for field in program.fields.get(item, ()):
                column = _column(section, item, field, None if names is None else names[item])
                if column is None:
                    absent.append(f"{item}.{field}")
                else:
                    mapped[item][field] = column
        if clash or absent:
            left.append(LeftOut(name, clash or f"the table has no column {', '.join(absent)}"))
            continue
        for item, fields in mapped.items():
            columns[item] |= fields
            known = {**types.get(item, {}), **(predicate.assumed if item == program.item else {})}
            kinds[item] |= {field: known[field] for field in fields}
        needed = compiled.permission(catalog)
        entry = items[program.item]
        closed = predicate.no_record == "nothing" if entry.complete is None else entry.complete
        found.append(
            Question(
                compiled=compiled,
                consent_of=tuple(sorted(needed.share | needed.release)),
                level=policy.level(program.fields),
                complete=closed,
                max_age_days=entry.max_age_days,
            )
        )
    served = {item for question in found for item in question.compiled.program.items}
    registers = {
        item: Register(
            item=item,
            key=keys[item],
            key_column=items[item].key
            or _column(section, item, keys[item][0], (names or {}).get(item))
            or keys[item][0],
            columns=columns[item],
            types=kinds[item],
            recorded=items[item].recorded,
        )
        for item in items
        if item in served
    }
    return Offer(section.region, tuple(found), registers, tuple(left))


def unused(section: VerifySection, offer: Offer) -> list[Problem]:
    """Items of which no question is answered: a table that nobody asks about."""
    return [
        Problem("VERIFY_UNUSED", f"verify.items.{item}", "no question is answered from it", "fedcredit predicate list")
        for item in section.items
        if item not in offer.registers
    ]


def _column(section: VerifySection, item: str, field: str, names: Sequence[str] | None) -> str | None:
    said: str | None = section.items[item].fields.get(field)
    if said is not None:
        return said
    if names is None:
        return field
    entry = section.catalog.item(item)
    printed = None if entry is None else entry.field(field)
    candidates: list[str] = [field] if printed is None else [field, printed.name]
    return next((name for name in candidates if name in names), None)
