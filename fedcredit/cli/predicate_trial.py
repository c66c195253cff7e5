"""What `fedcredit predicate test` does: a predicate on a department's own records, with the reasons."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from fedcredit.cli.catalog import asked, catalog_named
from fedcredit.errors import DataError, Problem, UsageError
from fedcredit.governance.catalog import Catalog
from fedcredit.governance.predicates.answers import Enquiry, Outcome, Reason, Value
from fedcredit.governance.predicates.compiler import Type
from fedcredit.governance.predicates.model import Compiled
from fedcredit.governance.predicates.single import evaluate_one
from fedcredit.governance.predicates.vector import Rows, Subjects, column_of, evaluate
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.predicate_file import printed_fields
from fedcredit.tables.records import cell, read_records, typed

__all__ = ["Trial", "parameters_of"]

_DEFAULT_KEY = "uscc"
_MAX_RECORD = 100_000

_SAID = {
    Reason.DECIDED: "decided by the records",
    Reason.NO_RECORD: "no record, and the register is not complete: --complete if yours is",
    Reason.STALE: "the latest record is too old",
    Reason.NOT_COVERED: "the register is not about this subject",
    Reason.VALUE_MISSING: "a record says nothing where it would have to, or records contradict each other",
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A predicate, the region's catalog, and what is asked with."""

    compiled: Compiled
    catalog: Catalog
    enquiry: Enquiry
    key: str | None

    @classmethod
    def of(
        cls,
        compiled: Compiled,
        *,
        region: str,
        params: Sequence[str],
        asof: str | None,
        institution: str | None,
        complete: bool | None,
        key: str | None,
    ) -> Self:
        """Raises: UsageError if the day, a parameter or the region does not fit."""
        catalog = catalog_named(region)
        compiled.permission(catalog)
        try:
            day = datetime.date.fromisoformat(asof) if asof else SystemClock().now().date()
        except ValueError:
            raise UsageError(Problem("USAGE", "--asof", "is not a day", "write 2025-06-30")) from None
        values = parameters_of(compiled, params)
        return cls(compiled, catalog, compiled.enquiry(values, day, complete=complete, institution=institution), key)

    def of_records(self, written: Sequence[str], subject: str | None, name: str | None) -> dict[str, Any]:
        """The answer about one subject whose records are written down."""
        records: dict[str, list[Mapping[str, Value]]] = {}
        for number, text in enumerate(written, 1):
            item, raw = self._cut(text)
            try:
                found = json.loads(raw) if len(raw) <= _MAX_RECORD else None
            except (ValueError, RecursionError):
                found = None
            records.setdefault(item, []).append(typed(found, self._fields(item), f"--record {number}"))
        brought = {"subject": subject, "subject_name": name}
        needed = sorted(
            set(self.compiled.program.parameters) & {key for key, value in brought.items() if value is None}
        )
        if needed:
            option = "--subject" if needed[0] == "subject" else "--name"
            raise UsageError(Problem("USAGE", option, "is missing: the predicate compares records with it"))
        given = {**self.enquiry.parameters, **{key: value for key, value in brought.items() if value is not None}}
        enquiry = Enquiry(asof=self.enquiry.asof, parameters=given, complete=self.enquiry.complete)
        answer = evaluate_one(self.compiled.program, records, enquiry)
        return {**self._head(), "answer": answer.outcome.name.lower(), "reason": _SAID[answer.reason]}

    def of_tables(self, files: Sequence[str], subject: str | None, name: str | None) -> dict[str, Any]:
        """The answers about all subjects of the files, and about one by itself."""
        program, tables = self.compiled.program, dict[str, list[dict[str, Value]]]()
        for text in files:
            item, path = self._cut(text)
            if item in tables:
                raise UsageError(Problem("USAGE", "--table", f"two files for {item}"))
            tables[item] = self._read(item, Path(path))
        if missing := [item for item in program.items if item not in tables]:
            fix = f"--table {missing[0]}=FILE" if missing[0] != program.item else "--table FILE or --record JSON"
            raise UsageError(Problem("USAGE", "--table", f"no records of {missing[0]}", fix))
        by_name = self._key(program.item)[1] == "subject_name"
        if any((self._key(item)[1] == "subject_name") != by_name for item in program.items):
            raise UsageError(Problem("USAGE", "--key", "one item is by code and another by name", "give --key"))
        asked_for = name if by_name else subject
        own_key = self._key(program.item)[0]
        keys = list(dict.fromkeys(str(row[own_key]) for row in tables[program.item] if row.get(own_key) is not None))
        if asked_for is not None and asked_for not in keys:
            keys.append(asked_for)
        place = {value: number for number, value in enumerate(keys)}
        rows = {item: self._rows(item, found, place) for item, found in tables.items()}
        codes = np.array(keys, object) if not by_name else np.array([subject or ""] * len(keys), object)
        names = np.array(keys, object) if by_name else np.array([name] * len(keys), object)
        found = evaluate(program, rows, Subjects(codes, names), self.enquiry)
        counts = {outcome.name.lower(): int((found.outcomes == outcome).sum()) for outcome in reversed(Outcome)}
        said: dict[str, Any] = {**self._head(), "subjects": counts}
        if asked_for is not None:
            at = place[asked_for]
            said["answer"] = Outcome(int(found.outcomes[at])).name.lower()
            said["reason"] = _SAID[Reason(int(found.reasons[at]))]
        return said

    def _head(self) -> dict[str, Any]:
        needed = self.compiled.permission(self.catalog)
        return {
            "predicate": self.compiled.predicate.id,
            "catalog": self.catalog.label,
            "asof": self.enquiry.asof.isoformat(),
            "share": asked(needed.share),
            "release": asked(needed.release),
        }

    def _cut(self, text: str) -> tuple[str, str]:
        """Item and rest of `ITEM=REST`; without an item, the predicate's own."""
        item, sign, rest = text.partition("=")
        items = self.compiled.program.items
        if sign and item in items:
            return item, rest
        return items[0], text

    def _fields(self, item: str) -> dict[str, Type]:
        known = printed_fields([*shipped_catalogs().values(), self.catalog]).get(item, {})
        wanted = self.compiled.program.fields.get(item, ())
        return {name: {**known, **self.compiled.predicate.assumed}[name] for name in wanted}

    def _key(self, item: str) -> tuple[str, str]:
        found = self.compiled.key(item, self.catalog)
        if self.key is not None and item not in self.compiled.program.keys:
            return self.key, "subject"
        return found or (_DEFAULT_KEY, "subject")

    def _read(self, item: str, path: Path) -> list[dict[str, Value]]:
        entry = self.catalog.item(item)
        names = {field.name: field.id for field in entry.fields} if entry is not None else {}
        return read_records(path, {**self._fields(item), self._key(item)[0]: "text"}, names)

    def _rows(self, item: str, records: Sequence[Mapping[str, Value]], place: Mapping[str, int]) -> Rows:
        key = self._key(item)[0]
        owned = [(place[str(row[key])], row) for row in records if str(row.get(key)) in place]
        columns = {
            name: column_of(kind, [row.get(name) for _, row in owned]) for name, kind in self._fields(item).items()
        }
        return Rows(np.array([who for who, _ in owned], np.int64), columns)


def parameters_of(compiled: Compiled, written: Sequence[str]) -> dict[str, float | str | tuple[str, ...]]:
    """The values that `NAME=VALUE` texts give to a predicate's parameters. Raises: UsageError."""
    values: dict[str, float | str | tuple[str, ...]] = {}
    for text in written:
        name, sign, value = text.partition("=")
        entry = compiled.predicate.parameters.get(name)
        if not sign or name in values:
            raise UsageError(Problem("USAGE", "--param", "is not NAME=VALUE, or the name is given twice"))
        kind = "text" if entry is None else entry.type
        try:
            found = cell("text" if kind == "texts" else kind, value)
        except (ValueError, DataError):
            found = None
        if kind == "texts":
            values[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        elif isinstance(found, float | str):
            values[name] = found
        else:
            raise UsageError(Problem("PREDICATE_PARAMETER", f"--param {name[:64]}", f"is not a {kind}"))
    return values
