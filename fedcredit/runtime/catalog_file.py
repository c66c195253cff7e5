"""catalog files: a region's sharing catalog as TOML, read strictly and written the way it is read.

The catalogs of five regions come with the package; a region's own file, or a later version of one of these, is read the
same way. Every problem is said with the file, the item and the field it is about.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

import fedcredit.governance.catalog
from fedcredit.governance.catalog.model import (
    Catalog,
    FieldEntry,
    Item,
    Rule,
    Subset,
    Target,
    TextKind,
)
from fedcredit.runtime.toml import Reader

__all__ = ["REGIONS", "as_toml", "load_catalog", "shipped_catalogs"]

REGIONS = ("beijing", "jilin", "jining", "nanjing", "zhengzhou")
"""The regions whose catalogs come with the package."""

_FOLDER = Path(fedcredit.governance.catalog.__file__).parent / "regions"
_LISTS: Mapping[str, type[BaseModel]] = {"targets": Target, "rules": Rule, "text_kinds": TextKind}
_MAX_ENTRIES = 1000

_HEADER = """\
# Sharing catalog of one region. Checked by `fedcredit catalog check FILE`; explained in docs/catalogs.md.
# Written from the public document under `source`. What that does not say is marked: unit_stated and
# values_stated = false, and a basis of "inferred" or "unstated".
"""


@functools.cache
def shipped_catalogs() -> Mapping[str, Catalog]:
    """The catalogs that come with the package, by region. Raises: ConfigError if an installation was tampered with."""
    return MappingProxyType({region: load_catalog(_FOLDER / f"{region}.toml") for region in REGIONS})


def load_catalog(path: Path) -> Catalog:
    """The catalog in `path`.

    Raises: ConfigError with all problems, each with file, item and field (CONFIG_*, and CATALOG_DUPLICATE,
    CATALOG_COUNT, CATALOG_SHARING, CATALOG_SUBJECT_KEY, CATALOG_RELEASE, CATALOG_COVERS).
    """
    reader = Reader(path)
    raw = dict(reader.raw)
    # Cut into its entries first, so that each is named by its id and not by a number.
    items = _entries(reader, raw, "item", "")
    lists = {key: _entries(reader, raw, key, "") for key in _LISTS if key in raw}
    head = reader.section("", {**raw, "items": []}, Catalog) if "items" not in raw else None
    if "items" in raw:
        reader.report("CONFIG_UNKNOWN_KEY", "items", "unknown key", "did you mean 'item'?")
    parsed: dict[str, list[Any]] = {
        key: [
            reader.section(place, entry, _LISTS[key]) for place, entry in zip(_places(key, found), found, strict=True)
        ]
        for key, found in lists.items()
    }
    read = [_item(reader, place, entry) for place, entry in zip(_places("item", items), items, strict=True)]
    if not items:
        reader.report("CONFIG_MISSING_KEY", "item", "has no item", "add [[item]]")
    for key, found in lists.items():
        _distinct(reader, key, [entry.get("id") for entry in found])
    _distinct(reader, "item", [entry.get("id") for entry in items])
    _distinct(reader, "item", [entry.get("row") for entry in items], "row")
    whole = [item for item in read if item is not None]
    _check_covers(reader, whole)
    reader.finish()
    if head is None:
        raise AssertionError("a catalog without problems has a head")
    return head.model_copy(update={"items": tuple(whole), **{key: tuple(found) for key, found in parsed.items()}})


def as_toml(catalog: Catalog) -> str:
    """The file of `catalog`, as one would write it by hand: `load_catalog` of it gives the same catalog."""
    lines = [_HEADER]
    for key, value in _said(catalog):
        if key != "items":
            lines.append(f"{key} = {_block(value)}")
    for item in catalog.items:
        lines += ["", "[[item]]", *(f"{key} = {_block(value)}" for key, value in _said(item))]
    return "\n".join(lines) + "\n"


def _item(reader: Reader, place: str, raw: dict[str, Any]) -> Item | None:
    rest = dict(raw)
    fields = _entries(reader, rest, "fields", place)
    subsets = _entries(reader, rest, "subsets", place)
    item = reader.section(place, rest, Item)
    read_fields = [
        reader.section(at, entry, FieldEntry)
        for at, entry in zip(_places(f"{place}.fields", fields), fields, strict=True)
    ]
    read_subsets = [
        reader.section(at, entry, Subset)
        for at, entry in zip(_places(f"{place}.subsets", subsets), subsets, strict=True)
    ]
    _distinct(reader, f"{place}.fields", [entry.get("id") for entry in fields])
    _distinct(reader, f"{place}.subsets", [entry.get("id") for entry in subsets])
    if item is None or None in read_fields or None in read_subsets:
        return None
    whole = item.model_copy(update={"fields": tuple(read_fields), "subsets": tuple(read_subsets)})
    _check_item(reader, place, whole)
    return whole


def _check_item(reader: Reader, place: str, item: Item) -> None:
    if item.subject_key is not None and item.field(item.subject_key) is None:
        reader.report(
            "CATALOG_SUBJECT_KEY", f"{place}.subject_key", "is no field of this item", "name one of its fields"
        )
    if not item.sharing and item.direction in (None, "provider_to_platform") and item.sharing_note is None:
        fix = "name how the department shares it, or say in sharing_note why no mode is known"
        reader.report("CATALOG_SHARING", f"{place}.sharing", "names no mode", fix)
    if item.doc_field_count is not None:
        printed = len({field.parts_of or field.id for field in item.fields})
        if printed != item.doc_field_count:
            what = f"says {item.doc_field_count} printed entries, and the fields make {printed}"
            reader.report("CATALOG_COUNT", f"{place}.doc_field_count", what, "add what is missing, or mend the count")
    parts: list[tuple[str, Item | Subset]] = [(place, item)]
    parts += [(f"{place}.subsets.{subset.id}", subset) for subset in item.subsets]
    for at, part in parts:
        if part.authorization != "none" and part.release_authorization == "none":
            what = "asks for nothing, although sharing with the platform asks for an authorisation"
            reader.report("CATALOG_RELEASE", f"{at}.release_authorization", what, f"say {part.authorization!r}")
    if item.publicity in ("non_public", "mixed") and item.release_authorization == "none":
        what = f"asks for nothing, although publicity is {item.publicity}"
        reader.report("CATALOG_RELEASE", f"{place}.release_authorization", what, 'say "enterprise" or "person"')


def _check_covers(reader: Reader, items: Sequence[Item]) -> None:
    own, covered = {item.id for item in items}, set[str]()
    for item in items:
        for name in item.covers:
            if name in own or name in covered:
                what = f"{name} is an item or covered already: which one is meant would depend on the order"
                reader.report("CATALOG_COVERS", f"item.{item.id}.covers", what, "leave it out here")
            covered.add(name)


def _entries(reader: Reader, raw: dict[str, Any], key: str, place: str) -> list[dict[str, Any]]:
    value = raw.pop(key, [])
    at = f"{place}.{key}" if place else key
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        reader.report("CONFIG_TYPE", at, "must be a list of tables")
        return []
    if len(value) > _MAX_ENTRIES:
        reader.report("CONFIG_VALUE", at, f"has more than {_MAX_ENTRIES} entries")
        return []
    return value


def _places(key: str, entries: Iterable[dict[str, Any]]) -> list[str]:
    named = (entry.get("id") for entry in entries)
    return [f"{key}.{name if isinstance(name, str) and name else number}" for number, name in enumerate(named, 1)]


def _distinct(reader: Reader, place: str, values: Iterable[Any], what: str = "id") -> None:
    seen = set()
    for value in values:
        if isinstance(value, str | int) and value in seen:
            reader.report("CATALOG_DUPLICATE", f"{place}.{value}", f"this {what} is given twice", "give each its own")
        if isinstance(value, str | int):
            seen.add(value)


def _said(entry: BaseModel) -> list[tuple[str, Any]]:
    """What a file has to say of `entry`: not what it would mean by saying nothing."""
    found = []
    for name, field in type(entry).model_fields.items():
        value = getattr(entry, name)
        if field.is_required() or value != field.default:
            found.append((field.alias or name, value))
    return found


def _block(value: Any) -> str:
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return "[\n" + "".join(f"  {_inline(entry)},\n" for entry in value) + "]"
    if isinstance(value, tuple) and sum(map(len, value)) > 100:
        return "[\n" + "".join(f"  {_inline(entry)},\n" for entry in value) + "]"
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "{ " + ", ".join(f"{key} = {_inline(inner)}" for key, inner in _said(value)) + " }"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_inline, value))}]"
    # JSON's texts, numbers and flags are TOML's, but for one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
