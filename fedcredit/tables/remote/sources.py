"""Where a table that is not a file comes from, as its owner declares it. Pure values; credentials are pointed at."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fedcredit.tables.remote.secret import Secret

__all__ = [
    "Authentication",
    "Condition",
    "HttpSource",
    "Operator",
    "Paging",
    "PostgresqlSource",
    "Source",
    "Tls",
    "ValueKind",
]

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "in", "is null", "is not null"]
ValueKind = Literal["text", "integer", "number", "boolean", "date", "time"]
Tls = Literal["verify-full", "verify-ca", "require", "disable"]


@dataclass(frozen=True, slots=True)
class Condition:
    """A row is read if its `column` compares so with `values`: one, several for `in`, none for the null tests."""

    column: str
    op: Operator
    kind: ValueKind = "text"
    values: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlSource:
    """A table or view of a PostgreSQL server. `url` is a libpq URL; `where` holds for every row that is read."""

    schema: str
    relation: str
    url: Secret
    where: tuple[Condition, ...] = ()
    tls: Tls = "verify-full"
    ca: Path | None = None
    connect_timeout_s: int = 10
    statement_timeout_s: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Paging:
    """How an interface hands out its records.

    page: `parameter` counts pages of `size` from `first`; a page that is not full is the last one. cursor: `next` is
    where in a page the value of `parameter` for the next page stands. link: the header `Link` with rel="next".
    `total` is where in a page the number of all records stands.
    """

    kind: Literal["none", "page", "cursor", "link"] = "none"
    parameter: str = "page"
    size_parameter: str | None = None
    size: int = 1000
    first: int = 1
    next: tuple[str, ...] = ()
    total: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How a request proves who asks: `secret` as a bearer token, as the password of `user`, or as a header's value."""

    kind: Literal["bearer", "basic", "header"]
    secret: Secret
    user: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSource:
    """An interface that gives JSON records by GET. `records` is where in a page the list of them stands."""

    url: str
    parameters: tuple[tuple[str, str], ...] = ()
    records: tuple[str, ...] = ()
    paging: Paging = Paging()
    authentication: Authentication | None = None
    ca: Path | None = None
    timeout_s: float = 30.0
    retries: int = 3
    max_pages: int = 100_000
    max_page_bytes: int = 16 << 20


Source = PostgresqlSource | HttpSource
