"""A region's sharing catalog as values: items, their fields, their subsets, and what each of them needs.

Two permissions are apart. `authorization` is what a department asks before it shares with the platform;
`release_authorization` is what the platform needs before it hands anything on to an institution. Both hold per region
and item, and may be different for a subset of an item's records and for a single field.

Source: the annexes and texts that each catalog names under `source`; what a text does not say is marked there, by
`..._stated = false` or a basis of `inferred` or `unstated`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fedcredit.errors import Problem, UsageError

__all__ = [
    "SCHEMA",
    "Authorization",
    "Catalog",
    "FieldEntry",
    "FieldType",
    "Holder",
    "Item",
    "Permission",
    "Platform",
    "Provider",
    "Rule",
    "Subset",
    "Target",
    "TextKind",
]

SCHEMA = "fedcredit-catalog/1"

Authorization = Literal["none", "enterprise", "person"]
FieldType = Literal["boolean", "date", "decimal", "enum", "id_number", "integer", "list", "month", "string", "uscc"]
Sharing = Literal["physical_collection", "interface_call", "data_verification", "joint_modelling"]
Publicity = Literal["public", "non_public", "mixed", "unstated"]
Direction = Literal[
    "provider_to_platform",
    "enterprise_to_platform",
    "platform_to_institution",
    "platform_to_provider",
    "institution_to_platform",
]
Channel = Literal["database_table", "interface"]
Subject = Literal["enterprise", "person"]

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]
Texts = Annotated[tuple[Text, ...], Field(strict=False, max_length=200)]
Names = Annotated[tuple[Name, ...], Field(strict=False, max_length=200)]
Modes = Annotated[tuple[Sharing, ...], Field(strict=False, max_length=4)]
Count = Annotated[int, Field(ge=0, le=100_000)]


class _Entry(BaseModel):
    # A misspelt key must not quietly mean "not said": it might be the one that asks for an authorisation.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Platform(_Entry):
    """The region's financing platform. `operator_stated`: whether the document names who runs it."""

    name: Text
    operator: Text
    operator_stated: bool


class Target(_Entry):
    """A figure that the document sets itself."""

    id: Name
    quote: Text
    value: Annotated[int, Field(strict=True)] | Text
    unit: Text
    categories: Count | None = None
    items: Names = ()
    horizon: Text | None = None
    note: Text | None = None


class Rule(_Entry):
    """A clause of the document that governs every item."""

    id: Name
    section: Text
    quote: Text
    effect: Text


class TextKind(_Entry):
    """A kind of information that the body names and the annex does not itemise; not an item."""

    id: Name
    name: Text
    section: Text
    provider: Text | None = None
    direction: Direction | None = None
    publicity: Text | None = None
    authorization: Authorization | None = None
    note: Text | None = None


class Provider(_Entry):
    """The department that answers for an item."""

    id: Name
    name: Text


class Holder(_Entry):
    """Who holds the records, where the document names somebody else as responsible."""

    id: Name
    basis: Text


class FieldEntry(_Entry):
    """A field of an item.

    `release_authorization`: what this field needs beyond its item before it goes to an institution. `personal`: it is
    about a natural person. `parts_of`: the printed entry that was split into several fields.
    """

    id: Name
    name: Text
    type: FieldType
    unit: Text | None = None
    unit_stated: bool = True
    values: Texts = ()
    values_stated: bool = True
    format: Literal["file", "uscc_or_id_number", "uscc_or_other"] | None = None
    parts_of: Text | None = None
    personal: bool = False
    release_authorization: Authorization | None = None
    note: Text | None = None


class Subset(_Entry):
    """A part of an item's records that is shared otherwise than the rest. `item`: the item it is elsewhere."""

    id: Name
    name: Text
    item: Name | None = None
    sharing: Modes
    authorization: Authorization
    release_authorization: Authorization
    basis: Text


class Item(_Entry):
    """A kind of record that a department shares. `sharing` is empty where the text names no mode.

    `covers`: finer items of other regions that this one includes. `subject_key`: the field by which a subject is found.
    """

    id: Name
    row: Annotated[int, Field(ge=1, le=10_000)]
    name: Text
    name_en: Text
    category: Text
    provider: Provider
    provider_basis: Text | None = None
    holder: Holder | None = None
    responsible: Texts = ()
    channel: Annotated[tuple[Channel, ...], Field(strict=False, max_length=2)] = ()
    sharing: Modes
    sharing_basis: Text | None = None
    sharing_note: Text | None = None
    authorization: Authorization
    authorization_basis: Text
    authorization_note: Text | None = None
    publicity: Publicity
    publicity_basis: Text
    release_authorization: Authorization
    direction: Direction | None = None
    subject: Subject
    subject_also: Annotated[tuple[Subject, ...], Field(strict=False, max_length=2)] = ()
    subject_note: Text | None = None
    subject_key: Name | None = None
    covers: Names = ()
    related: Names = ()
    timeline: Text | None = None
    note: Text | None = None
    doc_field_count: Count | None = None
    subsets: Annotated[tuple[Subset, ...], Field(strict=False, max_length=100)] = ()
    fields: Annotated[tuple[FieldEntry, ...], Field(strict=False, max_length=500)] = ()

    def field(self, name: str) -> FieldEntry | None:
        """The field called `name`; None if the document prints none."""
        return next((entry for entry in self.fields if entry.id == name), None)


@dataclass(frozen=True, slots=True)
class Permission:
    """Whose authorisation is needed: `share` for department to platform, `release` for platform to institution.

    Empty sets: nobody's. Whoever is asked for `share` is asked for `release` too.
    """

    share: frozenset[Subject]
    release: frozenset[Subject]


class Catalog(_Entry):
    """The sharing catalog of one region. A value of this type has been checked by `runtime.catalog_file`.

    `version` counts the states of this region's list; `label` is what an answer carries.
    """

    schema_: Annotated[Literal["fedcredit-catalog/1"], Field(alias="schema")]
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    region: Name
    name: Text
    source: Text
    source_note: Texts = ()
    platform: Platform
    platform_note: Text | None = None
    targets: Annotated[tuple[Target, ...], Field(strict=False, max_length=100)] = ()
    rules: Annotated[tuple[Rule, ...], Field(strict=False, max_length=100)] = ()
    text_kinds: Annotated[tuple[TextKind, ...], Field(strict=False, max_length=100)] = ()
    items: Annotated[tuple[Item, ...], Field(strict=False, max_length=1000)]

    @property
    def label(self) -> str:
        """Region and version, e.g. `nanjing/1`."""
        return f"{self.region}/{self.version}"

    def item(self, name: str) -> Item | None:
        """The item called `name`, or the wider one that covers it; None if the region's list has neither."""
        own = next((item for item in self.items if item.id == name), None)
        return own or next((item for item in self.items if name in item.covers), None)

    def permission(
        self, item: str, *, fields: Iterable[str] = (), subset: str | None = None, subject: Subject | None = None
    ) -> Permission:
        """Whose authorisation it takes to use `fields` of `item` here, or of a subset of its records.

        `subject`: whom the records are about, where an item is about enterprises and persons alike; an authorisation is
        that of the one it is about, never of another. Fields that the region does not print ask for what the item asks.

        Raises: UsageError (CATALOG_NO_ITEM, CATALOG_NO_SUBSET): nothing is granted by a name that is not there.
        """
        entry = self.item(item)
        if entry is None:
            raise UsageError(Problem("CATALOG_NO_ITEM", f"catalog {self.label}", f"has no item {item[:64]!r}"))
        of: Item | Subset = entry
        if subset is not None:
            found = next((part for part in entry.subsets if part.id == subset), None)
            if found is None:
                where = f"catalog {self.label}: item {entry.id}"
                raise UsageError(Problem("CATALOG_NO_SUBSET", where, f"has no subset {subset[:64]!r}"))
            of = found
        share = _of(of.authorization, subject, entry)
        release = share | _of(of.release_authorization, subject, entry)
        for name in fields:
            field = entry.field(name)
            if field is not None and field.release_authorization is not None:
                # A field about the legal representative asks for the enterprise's word: it is the enterprise's record.
                release |= _of(field.release_authorization, None, entry)
        return Permission(share, release)


def _of(asked: Authorization, subject: Subject | None, item: Item) -> frozenset[Subject]:
    if asked == "none":
        return frozenset()
    if subject is not None and subject in (item.subject, *item.subject_also):
        return frozenset({subject})
    return frozenset({asked})
