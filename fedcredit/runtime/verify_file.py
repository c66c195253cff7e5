"""`[verify]` of party.toml: which questions a department answers, from which tables, and where it is asked.

```toml
[verify]
listen = "127.0.0.1:7543"               # a port of its own
region = "nanjing"                      # whose sharing catalog counts
refresh_hours = 24                      # tables are read again so often; 0: by command alone
predicates = ["water_in_arrears"]       # answered at all; left out: all that the items and the policy allow
private = ["water_fee"]                 # a bank may learn obliviously who is in it, under a rule that says so

[verify.items.water_fee]                # an item of the catalog, and the table with its records
table = "water.csv"                     # or [verify.items.water_fee.postgresql], or .http, as in [tables.NAME]
key = "uscc"                            # the column by which a subject is found
fields = { avg_monthly_usage_3m = "usage" }   # columns that are not called as their field is
recorded = "updated_on"                 # the day of a record
max_age_days = 400                      # a subject whose latest record is older is unknown
fresh_days = 40                         # a table whose latest record is older is not taken
complete = false                        # whether no record means that there is nothing

[verify.names]                          # where an item is kept by name: whose name is whose, by code
table = "names.csv"
fields = { name = "enterprise_name" }

[verify.institutions]                   # for questions about the requester's own records: its code
city_bank = "91320100MA1MTQ0X09"
```

Which questions are answered to whom is policy.toml's, `fedcredit.runtime.question_rules_file`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from fedcredit.governance.catalog import Catalog
from fedcredit.governance.consent.subjects import is_enterprise_code
from fedcredit.runtime.catalog_file import REGIONS, shipped_catalogs
from fedcredit.runtime.identity_file import check_file
from fedcredit.runtime.predicate_file import shipped_predicates
from fedcredit.runtime.source_file import Column, HttpSection, PostgresqlSection, refuse
from fedcredit.runtime.table_file import Texts
from fedcredit.runtime.toml import Reader, Section, nearest
from fedcredit.tables.remote.sources import Source
from fedcredit.tables.spec import Encoding, Format, TableSpec

__all__ = ["VerifyItemSection", "VerifySection", "read_verify"]

_ADDRESS = r"^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
PartyName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Days = Annotated[int, Field(ge=0, le=36_500)]


class VerifyItemSection(Section):
    """`[verify.items.ITEM]`: the records of one item, any number for a subject."""

    table: Annotated[str, Field(min_length=1)] | None = None
    format: Format = "auto"
    encoding: Encoding = "utf-8"
    delimiter: str = ","
    missing: Texts = ()
    key: Column | None = None
    fields: dict[Name, Column] = Field(default_factory=dict)
    recorded: Column | None = None
    max_age_days: Days | None = None
    fresh_days: Days | None = None
    complete: bool | None = None
    postgresql: PostgresqlSection | None = None
    http: HttpSection | None = None

    def spec(self, folder: Path, item: str, key: str, columns: Iterable[str]) -> TableSpec:
        """The table as `fedcredit.tables` opens it, with `columns` as text beside the key. Raises ConfigError."""
        source: Source | None = None
        if self.postgresql is not None:
            source = self.postgresql.source(folder)
        elif self.http is not None:
            source = self.http.source(folder)
        return TableSpec(
            path=folder.absolute() if self.table is None else (folder / self.table).absolute(),
            name=item,
            source=source,
            id=key,
            id_type="text",
            only=(),
            beside=tuple(columns),
            format=self.format,
            encoding=self.encoding,
            delimiter=self.delimiter,
            missing=self.missing,
        )

    @model_validator(mode="after")
    def _consistent(self) -> VerifyItemSection:
        if sum(place is not None for place in (self.table, self.postgresql, self.http)) != 1:
            refuse("CONFIG_SOURCE", "needs one of table (a file), [postgresql] and [http]", "e.g. table = 'water.csv'")
        if self.table is None and {"format", "encoding", "delimiter"} & self.model_fields_set:
            refuse("CONFIG_CONFLICT", "format, encoding and delimiter are for files", "take them out")
        if self.recorded is None and (self.max_age_days is not None or self.fresh_days is not None):
            refuse("CONFIG_CONFLICT", "max_age_days and fresh_days need recorded", "name the column of the day")
        return self


class VerifySection(Section):
    """`[verify]`: absent where a node answers no questions."""

    listen: Annotated[str, Field(pattern=_ADDRESS, max_length=255)] = "127.0.0.1:0"
    region: str
    refresh_hours: Annotated[float, Field(ge=0, le=8760)] = 24.0
    predicates: Annotated[tuple[Name, ...], Field(strict=False, max_length=1000)] | None = None
    private: Annotated[tuple[Name, ...], Field(strict=False, max_length=100)] = ()
    items: dict[Name, VerifyItemSection]
    names: VerifyItemSection | None = None
    institutions: dict[PartyName, str] = Field(default_factory=dict)

    @property
    def host(self) -> str:
        """Where questions are taken."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for any free one."""
        return int(self.listen.rpartition(":")[2])

    def address(self, port: int) -> str:
        """Where it is asked once `port` is known, as it is written in a configuration."""
        return f"{self.listen.rpartition(':')[0]}:{port}"

    @property
    def catalog(self) -> Catalog:
        """The region's sharing catalog."""
        return shipped_catalogs()[self.region]


def read_verify(reader: Reader, kind: str | None) -> VerifySection | None:
    """The `[verify]` section; None where there is none or it cannot be read. Problems are noted at `reader`."""
    raw = reader.raw.get("verify")
    if raw is None:
        return None
    if kind not in (None, "provider"):
        fix = "drop [verify]: providers answer questions"
        reader.report("CONFIG_CONFLICT", "verify", f"stands at a {kind}, which has no register", fix)
    before = len(reader.problems)
    section = reader.section("verify", raw, VerifySection)
    if section is None or len(reader.problems) > before:
        return None
    if section.port > 65_535:
        reader.report("CONFIG_VALUE", "verify.listen", "has a port above 65535", "e.g. 127.0.0.1:7543")
    if section.region not in REGIONS:
        _unknown(reader, "verify.region", "has no catalog", section.region, REGIONS)
        return None
    if not section.items:
        reader.report("CONFIG_MISSING_KEY", "verify.items", "is empty", "add [verify.items.ITEM]")
    catalog = section.catalog
    for item, entry in section.items.items():
        _check_item(reader, f"verify.items.{item}", item, entry, catalog)
    for item in section.private:
        if item not in section.items:
            _unknown(reader, "verify.private", "names no item of [verify.items]", item, section.items)
        elif section.items[item].complete:
            what = f"names {item}, which is complete: that it has no record of a subject is an answer to be signed"
            reader.report("CONFIG_CONFLICT", "verify.private", what, "drop it, or complete = true")
    if section.names is not None:
        _check_source(reader, "verify.names", section.names)
        if set(section.names.fields) - {"name"}:
            reader.report("CONFIG_VALUE", "verify.names.fields", "has another field than name", 'name = "COLUMN"')
    for party, code in section.institutions.items():
        if not is_enterprise_code(code):
            what = "is no unified social credit code"
            reader.report("CONFIG_VALUE", f"verify.institutions.{party}", what, "18 characters, the last a check")
    known = {
        name
        for name, compiled in shipped_predicates().items()
        if any(terms.id == section.region for terms in compiled.predicate.regions)
    }
    for name in section.predicates or ():
        if name not in known:
            _unknown(reader, "verify.predicates", f"names no predicate of {section.region}", name, known)
    return section if len(reader.problems) == before else None


def _check_item(reader: Reader, key: str, item: str, entry: VerifyItemSection, catalog: Catalog) -> None:
    names = {name for one in catalog.items for name in (one.id, *one.covers)}
    if item not in names:
        _unknown(reader, key, f"is no item of the catalog of {catalog.region}", item, names)
    fields = _fields_of(item)
    for name in entry.fields:
        if name not in fields:
            _unknown(reader, f"{key}.fields.{name}", "is no field that a question looks at", name, fields)
    _check_source(reader, key, entry)


def _check_source(reader: Reader, key: str, entry: VerifyItemSection) -> None:
    if entry.table is not None:
        reader.existing(f"{key}.table", entry.table)
    for source, remote, secret in (
        ("postgresql", entry.postgresql, "url_file"),
        ("http", entry.http, "secret_file"),
    ):
        if remote is None:
            continue
        if remote.ca is not None:
            reader.existing(f"{key}.{source}.ca", remote.ca)
        if (path := getattr(remote, secret)) is not None:
            check_file(reader, f"{key}.{source}.{secret}", path, "SECRET_READABLE")


def _fields_of(item: str) -> set[str]:
    found: set[str] = set()
    for compiled in shipped_predicates().values():
        found |= set(compiled.program.fields.get(item, ()))
        if item in compiled.program.keys:
            found.add(compiled.program.keys[item][0])
    for catalog in shipped_catalogs().values():
        entry = catalog.item(item)
        found |= set() if entry is None or entry.id != item else {field.id for field in entry.fields}
    return found


def _unknown(reader: Reader, key: str, what: str, name: str, known: Iterable[str] | Mapping[str, object]) -> None:
    close = nearest(name, sorted(known))
    reader.report("CONFIG_VALUE", key, what, f"did you mean {close!r}?" if close else "fedcredit catalog show REGION")
