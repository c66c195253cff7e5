"""Files of predicates: read strictly, compiled, and held against the catalogs of their regions.

111 predicates come with the package. A department's own are read the same way: `load_predicates(path, catalogs)`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import fedcredit.governance.predicates
from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.governance.catalog import Catalog
from fedcredit.governance.catalog.model import FieldType
from fedcredit.governance.predicates.compiler import BROUGHT, Program, Type, compile_tree
from fedcredit.governance.predicates.grammar import parse
from fedcredit.governance.predicates.model import Compiled, Predicate, PredicateSet
from fedcredit.runtime.catalog_file import shipped_catalogs
from fedcredit.runtime.toml import Reader

__all__ = [
    "GROUPS",
    "files_of_the_package",
    "load_predicates",
    "printed_fields",
    "shipped_predicates",
    "shipped_version",
]

GROUPS = (
    "tax",
    "insurance",
    "housing_fund",
    "property",
    "utilities",
    "environment",
    "administration",
    "judicial",
    "guarantees",
    "people",
    "innovation",
    "recognitions",
    "agriculture",
    "platform",
)
"""The files that come with the package."""

_FOLDER = Path(fedcredit.governance.predicates.__file__).parent / "questions"
_MAX_PREDICATES = 1000
_TYPES: Mapping[FieldType, Type] = {
    "boolean": "flag",
    "date": "date",
    "decimal": "number",
    "enum": "text",
    "id_number": "text",
    "integer": "number",
    "list": "texts",
    "month": "date",
    "string": "text",
    "uscc": "text",
}


@functools.cache
def shipped_predicates() -> Mapping[str, Compiled]:
    """The predicates that come with the package, by id, compiled. Raises: ConfigError if one was tampered with."""
    found: dict[str, Compiled] = {}
    for path in files_of_the_package():
        for name, compiled in load_predicates(path, shipped_catalogs()).items():
            if name in found:
                raise AssertionError(f"predicate {name} came twice")
            found[name] = compiled
    return MappingProxyType(found)


@functools.cache
def shipped_version() -> int:
    """The version of the predicates that come with the package: the sum of their files', so that any change raises it.

    Raises: ConfigError if one was tampered with.
    """
    versions = 0
    for path in files_of_the_package():
        reader = Reader(path)
        head = reader.section("", {name: reader.raw[name] for name in reader.raw if name != "predicate"}, PredicateSet)
        reader.finish()
        versions += 0 if head is None else head.version
    return versions


def files_of_the_package() -> list[Path]:
    """The files that `shipped_predicates` reads."""
    return [_FOLDER / f"{group}.toml" for group in GROUPS]


def load_predicates(path: Path, catalogs: Mapping[str, Catalog]) -> dict[str, Compiled]:
    """The predicates in `path`, by id.

    Raises: ConfigError with all problems, each with the file and the predicate (CONFIG_*; PREDICATE_SYNTAX, _LIMIT,
    _NAME, _TYPE, _RANGE, _KEY of the expression; PREDICATE_DUPLICATE, PREDICATE_LADDER, PREDICATE_REGION,
    PREDICATE_AUTHORIZATION).
    """
    reader = Reader(path)
    raw = dict(reader.raw)
    entries = raw.pop("predicate", [])
    reader.section("", raw, PredicateSet)
    if not isinstance(entries, list) or not entries or len(entries) > _MAX_PREDICATES:
        reader.report(
            "CONFIG_TYPE", "predicate", f"must be a list of 1 to {_MAX_PREDICATES} tables", "add [[predicate]]"
        )
        entries = []
    printed, found = printed_fields(catalogs.values()), dict[str, Compiled]()
    for number, entry in enumerate(entries, 1):
        name = entry.get("id") if isinstance(entry, dict) else None
        place = f"predicate.{name if isinstance(name, str) and name else number}"
        predicate = reader.section(place, entry, Predicate)
        if predicate is None:
            continue
        if predicate.id in found:
            reader.report("PREDICATE_DUPLICATE", place, "this id is given twice", "give each its own")
        if (compiled := _compiled(reader, place, predicate, printed)) is not None:
            found[predicate.id] = compiled
            _check_regions(reader, place, compiled, catalogs)
    reader.finish()
    return found


def printed_fields(catalogs: Iterable[Catalog]) -> dict[str, dict[str, Type]]:
    """The fields of every item of any region, with their types; an item without printed fields has none.

    Raises: ConfigError (CATALOG_TYPE) where two regions print a field with different types.
    """
    printed: dict[str, dict[str, Type]] = {}
    for catalog in catalogs:
        for item in catalog.items:
            for name in (item.id, *item.covers):
                printed.setdefault(name, {})
            for field in item.fields:
                kind = _TYPES[field.type]
                if printed[item.id].setdefault(field.id, kind) != kind:
                    where = f"catalog {catalog.label}: item.{item.id}.fields.{field.id}"
                    raise ConfigError(Problem("CATALOG_TYPE", where, "has another type in another region"))
    return printed


def _compiled(
    reader: Reader, place: str, predicate: Predicate, printed: Mapping[str, Mapping[str, Type]]
) -> Compiled | None:
    for name, parameter in predicate.parameters.items():
        at = f"{place}.parameters.{name}"
        if name in BROUGHT:
            reader.report("PREDICATE_NAME", at, "every enquiry has one of that name", "give it another")
        wanted = (int, float) if parameter.type == "number" else str
        if any(not isinstance(rung, wanted) for rung in parameter.ladder):
            reader.report("PREDICATE_LADDER", f"{at}.ladder", f"a rung is no {parameter.type}")
        if len(set(parameter.ladder)) != len(parameter.ladder) or (parameter.type == "texts" and parameter.ladder):
            reader.report("PREDICATE_LADDER", f"{at}.ladder", "has a rung twice, or is for several values")
        if parameter.type == "number" and not parameter.ladder and not parameter.match:
            what = "a number without a ladder could be found by halving"
            reader.report(
                "PREDICATE_LADDER", at, what, "give a ladder, or match = true if the enquirer holds the value"
            )
    if predicate.item not in printed:
        reader.report("PREDICATE_NAME", f"{place}.item", "no catalog has such an item")
        return None
    try:
        program: Program = compile_tree(
            parse(predicate.expression, "expression"),
            item=predicate.item,
            printed=printed,
            assumed=predicate.assumed,
            parameters={name: parameter.type for name, parameter in predicate.parameters.items()},
        )
    except ConfigError as error:
        for problem in error.problems:
            reader.report(problem.code, f"{place}.{problem.where}", problem.what, problem.fix)
        return None
    return Compiled(predicate, program)


def _check_regions(reader: Reader, place: str, compiled: Compiled, catalogs: Mapping[str, Catalog]) -> None:
    seen = set[str]()
    for terms in compiled.predicate.regions:
        at = f"{place}.regions.{terms.id}"
        if terms.id in seen:
            reader.report("PREDICATE_DUPLICATE", at, "this region is given twice")
        seen.add(terms.id)
        if terms.id not in catalogs:
            reader.report("PREDICATE_REGION", at, "there is no catalog of this region")
            continue
        catalog = catalogs[terms.id]
        try:
            needed = compiled.permission(catalog)
        except UsageError:
            reader.report("PREDICATE_REGION", at, "the region's catalog lacks an item of the expression")
            continue
        printed = "printed" if _prints_all(compiled.program, catalog) else "unprinted"
        if printed != terms.fields:
            reader.report("PREDICATE_REGION", f"{at}.fields", f"by the region's catalog they are {printed}")
        asked = "call" if needed.share else "release" if needed.release else "never"
        whose = "none" if not needed.release else next(iter(needed.release)) if len(needed.release) == 1 else "several"
        if (terms.authorization, terms.asked) != (whose, asked):
            what = f"by the region's catalog it takes that of {whose}, asked at: {asked}"
            reader.report("PREDICATE_AUTHORIZATION", at, what, "the catalog decides; mend whichever is wrong")


def _prints_all(program: Program, catalog: Catalog) -> bool:
    for name in program.items:
        item = catalog.item(name)
        fields = set(program.fields.get(name, ())) - set(program.assumed.get(name, ()))
        if item is None or item.id != name or not item.fields or any(item.field(field) is None for field in fields):
            return False
    return True
