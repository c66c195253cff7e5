"""`[tables.NAME]` of a party file and `[parties.NAME]` of a job file: a table, where it is and how to read it.

A table is a file, a table or view of a PostgreSQL server (库表), or an HTTP interface (接口):

```toml
[tables.registry]
table = "registry.csv"
id = "uscc"

[tables.enterprise_tax]
id = "uscc"
updated = "updated_on"          # the newest value says how fresh the table is
max_age_days = 40
[tables.enterprise_tax.postgresql]
relation = "gov.enterprise_tax"
url_file = "keys/tax-db.url"    # mode 0600; or url_env = "TAX_DB_URL"
where = [{ column = "year", op = ">=", value = 2020 }]

[tables.permits]
id = "uscc"
[tables.permits.http]
url = "https://share.example.gov.cn/permits"
records = "data.list"
paging = "page"
auth = "bearer"
secret_file = "keys/share.token"
```

Credentials stand in files or in the environment; a file of ours that holds one is refused.
"""

from __future__ import annotations

import math
import typing
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_serializer, model_validator

from fedcredit.runtime.source_file import Column, HttpSection, PostgresqlSection, refusal, refuse
from fedcredit.runtime.toml import Section
from fedcredit.tables.remote.sources import Source
from fedcredit.tables.spec import (
    MAX_KEY_COLUMNS,
    ColumnKind,
    ColumnSpec,
    Duplicates,
    Encoding,
    Format,
    IdType,
    TableSpec,
    Useless,
)

__all__ = [
    "MAIN_TABLE",
    "Column",
    "ColumnSection",
    "DeclaredSection",
    "HttpSection",
    "IdTypes",
    "Name",
    "PostgresqlSection",
    "TableSection",
    "Texts",
    "refuse",
]

MAIN_TABLE = "main"
"""The name of the table that `[table]` declares, and that a job means when it names none."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
Texts = Annotated[tuple[str, ...], Field(strict=False, max_length=10_000)]
Numbers = Annotated[tuple[float, ...], Field(strict=False, max_length=1_000)]


def _one_or_several(value: object) -> tuple[str, ...]:
    """What is given as a text, or as a list of texts, as a tuple; a list of one says what a text would."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise refusal("CONFIG_TYPE", "is neither a text nor a list of texts", 'e.g. "uscc", or ["name", "phone"]')
    if not 1 <= len(texts) <= MAX_KEY_COLUMNS:
        refuse("CONFIG_VALUE", f"is not 1 to {MAX_KEY_COLUMNS} of them", "name the columns of a subject's key")
    return tuple(texts)


def _id_types(value: object) -> tuple[str, ...]:
    types = _one_or_several(value)
    if not set(types) <= set(typing.get_args(IdType)):
        refuse("CONFIG_VALUE", "is not a type of identifier", f"known: {', '.join(typing.get_args(IdType))}")
    return types


KeyColumns = Annotated[tuple[Column, ...], BeforeValidator(_one_or_several)]
IdTypes = Annotated[tuple[IdType, ...], BeforeValidator(_id_types)]
"""The types of a key's columns, in their order. One stands for the only column, or for all of them."""


class ColumnSection(Section):
    """`[parties.NAME.columns.COLUMN]`: what a column holds, where that cannot be seen from its values."""

    kind: ColumnKind | None = None
    levels: Texts | None = None
    special: Numbers = ()
    missing: Texts = ()
    splits: Numbers = ()

    @model_validator(mode="after")
    def _consistent(self) -> ColumnSection:
        if self.levels is not None and self.kind not in (None, "categorical"):
            refuse("CONFIG_CONFLICT", "levels are for categorical columns", "drop levels or set kind = 'categorical'")
        if self.levels is not None and len(set(self.levels)) != len(self.levels):
            refuse("CONFIG_CONFLICT", "a level is given twice", "name each level once")
        if self.special and self.kind not in (None, "numeric"):
            refuse("CONFIG_CONFLICT", "special values are for numeric columns", "declare them as levels")
        if self.splits and self.kind == "categorical":
            refuse("CONFIG_CONFLICT", "split points are for columns of numbers", "drop splits")
        ascending = all(a < b for a, b in zip(self.splits, self.splits[1:], strict=False))
        if not ascending or not all(map(math.isfinite, self.splits)):
            refuse("CONFIG_VALUE", "split points are not ascending numbers", "sort them, and name each once")
        return self


class TableSection(Section):
    """`[tables.NAME]` or `[parties.NAME]`: a table and how to read it. All columns but id, label, updated and drop are
    features."""

    table: Annotated[str, Field(min_length=1)] | None = None
    id: KeyColumns
    label: Column | None = None
    drop: Texts = ()
    id_type: IdTypes = ("uscc",)
    duplicates: Duplicates = "refuse"
    format: Format = "auto"
    encoding: Encoding = "utf-8"
    delimiter: Literal[",", ";", "\t", "|"] = ","
    missing: Texts = ()
    max_levels: Annotated[int, Field(ge=2, le=4096)] = 32
    useless: Useless = "refuse"
    updated: Column | None = None
    max_age_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    stale: Literal["warn", "refuse"] = "warn"
    columns: dict[str, ColumnSection] = Field(default_factory=dict)
    postgresql: PostgresqlSection | None = None
    http: HttpSection | None = None

    def spec(self, folder: Path, time: str | None = None, name: str | None = None) -> TableSpec:
        """The table as `fedcredit.tables` opens it; a relative path starts at `folder`. Raises ConfigError."""
        source: Source | None = None
        if self.postgresql is not None:
            source = self.postgresql.source(folder)
        elif self.http is not None:
            source = self.http.source(folder)
        return TableSpec(
            path=folder.absolute() if self.table is None else (folder / self.table).absolute(),
            name=name if source is not None else None,
            source=source,
            id=self.id[0] if len(self.id) == 1 else self.id,
            id_type=self.id_types[0] if len(self.id) == 1 else self.id_types,
            duplicates=self.duplicates,
            label=self.label,
            drop=self.drop,
            time=time,
            format=self.format,
            encoding=self.encoding,
            delimiter=self.delimiter,
            missing=self.missing,
            max_levels=self.max_levels,
            useless=self.useless,
            updated=self.updated,
            max_age_days=self.max_age_days,
            stale=self.stale,
            columns=tuple(
                ColumnSpec(column_name, column.kind, column.levels, column.special, column.missing, column.splits)
                for column_name, column in self.columns.items()
            ),
        )

    @field_serializer("id", "id_type")
    def _as_written(self, value: tuple[str, ...]) -> str | tuple[str, ...]:
        return value[0] if len(value) == 1 else value

    @property
    def id_types(self) -> tuple[IdType, ...]:
        """The type of each column of the identifier."""
        return self.id_type * len(self.id) if len(self.id_type) == 1 else self.id_type

    @property
    def is_label(self) -> bool:
        """Whether the table has the label."""
        return self.label is not None

    @property
    def declared(self) -> str:
        """The name under which a node declares the table: a file of a job becomes its node's one table."""
        return MAIN_TABLE

    @model_validator(mode="after")
    def _consistent(self) -> TableSection:
        if sum(place is not None for place in (self.table, self.postgresql, self.http)) != 1:
            what = "needs one of table (a file), [postgresql] and [http]"
            refuse("CONFIG_SOURCE", what, "e.g. table = 'tax.csv'")
        if self.table is None and {"format", "encoding", "delimiter"} & self.model_fields_set:
            refuse("CONFIG_CONFLICT", "format, encoding and delimiter are for files", "take them out")
        if len(self.id_types) != len(self.id):
            refuse("CONFIG_CONFLICT", "id_type is not one for each column of id", "give one for all, or a list of them")
        if len(set(self.id)) != len(self.id):
            refuse("CONFIG_CONFLICT", "id names a column twice", "name each column once")
        if self.label is not None and self.label in self.id:
            refuse("CONFIG_CONFLICT", "id and label are the same column", "name two columns")
        if set(self.id) & set(self.drop) or (self.label is not None and self.label in self.drop):
            refuse("CONFIG_CONFLICT", "drop names the id or label column", "take it out of drop")
        if self.columns.keys() & {*self.id, self.label}:
            refuse("CONFIG_CONFLICT", "columns describes the id or label column", "take it out of columns")
        if self.updated is not None and self.updated in (*self.id, self.label, *self.drop):
            refuse("CONFIG_CONFLICT", "updated names the id, the label or a dropped column", "it is no feature anyway")
        if self.updated is None and {"max_age_days", "stale"} & self.model_fields_set:
            refuse("CONFIG_CONFLICT", "max_age_days and stale need updated", "name the column of the last change")
        return self


class DeclaredSection(Section):
    """`[parties.NAME]` of a job for nodes: each party reads a table of its own, named as its owner declared it."""

    table: Name = MAIN_TABLE
    role: Literal["label", "feature"] = "feature"

    @property
    def is_label(self) -> bool:
        """Whether the party brings the label."""
        return self.role == "label"

    @property
    def declared(self) -> str:
        """The name under which its node declares the table."""
        return self.table
