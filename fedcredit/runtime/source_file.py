"""`[tables.NAME.postgresql]` and `[tables.NAME.http]`: where a table is that is no file.

`fedcredit.runtime.table_file` shows both. Credentials stand in files or in the environment; a
file of ours that holds one is refused.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
import urllib.parse
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fedcredit.runtime.toml import SECRET_KEYS, Section
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.sources import (
    Authentication,
    Condition,
    HttpSource,
    Operator,
    Paging,
    PostgresqlSource,
    Tls,
    ValueKind,
)

__all__ = ["Column", "HttpSection", "PostgresqlSection", "refusal", "refuse"]

MAX_CONDITIONS = 100

Column = Annotated[str, Field(min_length=1, max_length=256)]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,127}$")]
FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
Parameter = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\[\]-]{1,64}$")]
JsonPath = Annotated[str, Field(max_length=256)]

Value = bool | int | float | str | datetime.datetime | datetime.date


class ConditionSection(Section):
    """One entry of `where`: a column, a comparison, a value; never SQL."""

    column: Column
    op: Operator
    value: Value | None = None
    values: Annotated[tuple[Value, ...], Field(strict=False, max_length=1_000)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ConditionSection:
        wants = {"in": "values", "is null": None, "is not null": None}.get(self.op, "value")
        given = {name for name in ("value", "values") if getattr(self, name) is not None}
        if given != ({wants} if wants else set()):
            refuse("CONFIG_CONFLICT", f"op {self.op!r} takes {wants or 'no value'}", "give that and nothing else")
        if len({_kind(value) for value in self._values()}) > 1:
            refuse("CONFIG_CONFLICT", "values are of several types", "write all of them alike")
        if self.values == ():
            refuse("CONFIG_CONFLICT", "values is empty, so no row would be read", "name a value")
        return self

    def _values(self) -> tuple[Value, ...]:
        return self.values or (() if self.value is None else (self.value,))

    def condition(self) -> Condition:
        """As `fedcredit.tables` takes it."""
        values = self._values()
        return Condition(self.column, self.op, _kind(values[0]) if values else "text", tuple(map(_text, values)))


class PostgresqlSection(Section):
    """`[tables.NAME.postgresql]`: a table or view, read in one read-only transaction."""

    relation: Annotated[str, Field(pattern=r"^[^.\x00]{1,63}\.[^.\x00]{1,63}$")]
    url_file: FilePath | None = None
    url_env: Variable | None = None
    where: Annotated[tuple[ConditionSection, ...], Field(strict=False, max_length=MAX_CONDITIONS)] = ()
    tls: Tls = "verify-full"
    ca: FilePath | None = None
    connect_timeout_s: Annotated[int, Field(ge=1, le=600)] = 10
    statement_timeout_s: Annotated[int, Field(ge=1, le=86_400)] = 600

    @model_validator(mode="after")
    def _consistent(self) -> PostgresqlSection:
        if (self.url_file is None) == (self.url_env is None):
            refuse("CONFIG_CONFLICT", "needs one of url_file and url_env", "e.g. url_file = 'keys/db.url'")
        if self.tls == "verify-ca" and self.ca is None:
            refuse("CONFIG_CONFLICT", "tls = 'verify-ca' needs ca", "name the file of the server's authority")
        return self

    def source(self, folder: Path) -> PostgresqlSource:
        """As `fedcredit.tables` takes it; relative paths start at `folder`."""
        schema, _, relation = self.relation.partition(".")
        return PostgresqlSource(
            schema=schema,
            relation=relation,
            url=_secret(folder, self.url_file, self.url_env),
            where=tuple(entry.condition() for entry in self.where),
            tls=self.tls,
            ca=_path(folder, self.ca),
            connect_timeout_s=self.connect_timeout_s,
            statement_timeout_s=self.statement_timeout_s,
        )


class HttpSection(Section):
    """`[tables.NAME.http]`: an interface that answers GET with JSON records, page by page."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]{1,2000}$")]
    parameters: dict[Parameter, str | int] = Field(default_factory=dict)
    records: JsonPath = ""
    paging: Literal["none", "page", "cursor", "link"] = "none"
    page_parameter: Parameter = "page"
    size_parameter: Parameter | None = None
    page_size: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    first_page: Annotated[int, Field(ge=0, le=1)] = 1
    cursor_parameter: Parameter = "cursor"
    next: JsonPath = ""
    total: JsonPath | None = None
    auth: Literal["none", "bearer", "basic", "header"] = "none"
    user: Annotated[str, Field(max_length=256)] = ""
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{0,64}$")] = ""
    secret_file: FilePath | None = None
    secret_env: Variable | None = None
    ca: FilePath | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    max_pages: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    max_page_mib: Annotated[int, Field(ge=1, le=1024)] = 16

    @model_validator(mode="after")
    def _consistent(self) -> HttpSection:
        try:
            url = urllib.parse.urlsplit(self.url)
            loopback = _is_loopback(url.hostname or "")
        except ValueError:
            refuse("CONFIG_VALUE", "url is no URL", "e.g. https://share.example.gov.cn/permits")
        if url.scheme == "http" and not loopback:
            refuse("CONFIG_INSECURE", "url is without TLS beyond this machine", "use https")
        if url.username is not None or url.password is not None:
            refuse("CONFIG_SECRET", "url holds a user or password", "set auth = 'basic', user and secret_file")
        names = [name for name, _ in urllib.parse.parse_qsl(url.query)] + list(self.parameters)
        if any(SECRET_KEYS.search(name.lower()) for name in names):
            refuse("CONFIG_SECRET", "a parameter of the request is a secret", "set auth = 'header' and secret_file")
        if self.paging == "cursor" and not self.next:
            refuse("CONFIG_CONFLICT", "paging by cursor needs next", "e.g. next = 'data.next'")
        if (self.auth == "none") != (self.secret_file is None and self.secret_env is None):
            refuse("CONFIG_CONFLICT", "auth goes with secret_file or secret_env", "give both, or neither")
        if self.secret_file is not None and self.secret_env is not None:
            refuse("CONFIG_CONFLICT", "secret_file and secret_env name two secrets", "keep one of them")
        if (self.auth == "basic") != bool(self.user) or (self.auth == "header") != bool(self.header):
            refuse("CONFIG_CONFLICT", "user goes with auth = 'basic', header with 'header'", "set what auth needs")
        return self

    def source(self, folder: Path) -> HttpSource:
        """As `fedcredit.tables` takes it; relative paths start at `folder`."""
        authentication = None
        if self.auth != "none":
            secret = _secret(folder, self.secret_file, self.secret_env)
            authentication = Authentication(kind=self.auth, secret=secret, user=self.user, header=self.header)
        return HttpSource(
            url=self.url,
            parameters=tuple((name, str(value)) for name, value in self.parameters.items()),
            records=_steps(self.records),
            paging=Paging(
                kind=self.paging,
                parameter=self.cursor_parameter if self.paging == "cursor" else self.page_parameter,
                size_parameter=self.size_parameter,
                size=self.page_size,
                first=self.first_page,
                next=_steps(self.next),
                total=None if self.total is None else _steps(self.total),
            ),
            authentication=authentication,
            ca=_path(folder, self.ca),
            timeout_s=self.timeout_s,
            retries=self.retries,
            max_pages=self.max_pages,
            max_page_bytes=self.max_page_mib << 20,
        )


def refuse(code: str, what: str, fix: str) -> None:
    """Make a validator fail with a problem of ours."""
    raise refusal(code, what, fix)


def refusal(code: str, what: str, fix: str) -> PydanticCustomError:
    """What a validator raises to fail with a problem of ours."""
    return PydanticCustomError(code, "{text}", {"text": f"{what} -> {fix}"})


def _kind(value: Value) -> ValueKind:
    # The order matters: a flag is an int, and a point in time is a date.
    kinds: tuple[tuple[type[Any], ValueKind], ...] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (datetime.datetime, "time"),
        (datetime.date, "date"),
    )
    return next((kind for type_, kind in kinds if isinstance(value, type_)), "text")


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _secret(folder: Path, file: str | None, env: str | None) -> Secret:
    return Secret(file=_path(folder, file), env=env)


def _path(folder: Path, relative: str | None) -> Path | None:
    return None if relative is None else (folder / relative).absolute()


def _steps(path: str) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def _is_loopback(host: str) -> bool:
    if re.fullmatch(r"[0-9.]+|[0-9a-fA-F:]+", host):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
