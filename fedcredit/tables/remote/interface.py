"""An HTTP interface (接口) that gives JSON records page by page, collected in the engine as they came.

A page is text of bounded size until the engine has it; the engine parses it, so Python walks over no record. What may
go wrong between two pages is looked for: a page that comes twice, a cursor that leads back, a total that changes, a
redirect to somewhere else. Errors name the table and the page, never the credential nor what a page holds.
"""

from __future__ import annotations

import base64
import hashlib
import ssl
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from fedcredit.errors import ConfigError, DataError, Problem
from fedcredit.observe import logs
from fedcredit.tables.engine import Engine
from fedcredit.tables.problems import refuse
from fedcredit.tables.remote.sources import Authentication, HttpSource
from fedcredit.tables.spec import Limits

__all__ = ["collect"]

# It writes the URL of every request, and a cursor in it may be an identifier.
logs.quieten("httpx", "httpcore")

MAX_WAIT_S = 60.0
"""Longer than this no reading waits between two attempts at a page, whatever the server asks for."""

PAGE_TIMEOUTS = 10
"""A page that drips in may take so many times the timeout of a single read."""

_AGAIN = (429, 502, 503, 504)

Request = tuple[str, dict[str, str]]
"""A URL and what is added to its query."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What is known of a page once the engine has its records."""

    digest: bytes
    records: int
    cursor: str | None
    total: int | None
    link: str | None


def collect(
    title: str, source: HttpSource, engine: Engine, limits: Limits, sleep: Callable[[float], None] = time.sleep
) -> list[str]:
    """Fill the engine's table `records` with one JSON object `r` for each record; the names found in them, sorted.

    Raises: DataError (TABLE_*, LIMIT_*), ConfigError (SECRET_*).
    """
    engine.execute("CREATE TABLE records (r JSON)")
    with _Reader(title, source, engine, limits, sleep) as reader:
        reader.read_all()
    found = engine.all("SELECT DISTINCT unnest(json_keys(r)) AS name FROM records ORDER BY name", "TABLE_PAGE_INVALID")
    twice = "SELECT count(*) FROM records WHERE len(json_keys(r)) <> len(list_distinct(json_keys(r)))"
    if engine.one(twice, "TABLE_PAGE_INVALID")[0]:
        raise refuse("TABLE_PAGE_INVALID", title, "a record has a name twice", "mend the interface")
    return [str(row[0]) for row in found]


class _Reader:
    """Reads pages in turn."""

    def __init__(
        self, title: str, source: HttpSource, engine: Engine, limits: Limits, sleep: Callable[[float], None]
    ) -> None:
        self._title, self._source, self._engine, self._limits, self._sleep = title, source, engine, limits, sleep
        self._bytes = self._records = 0
        self._client = httpx.Client(
            verify=_tls(title, source),
            # A proxy of the environment would see the request; a redirect might take the credential elsewhere.
            trust_env=False,
            follow_redirects=False,
            timeout=source.timeout_s,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "fedcredit"}
            | _credentials(source.authentication),
        )

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def read_all(self) -> None:
        """Read pages until there is none."""
        source, seen, total = self._source, set[object](), None
        request: Request | None = (source.url, self._first())
        number = 0
        while request is not None:
            number += 1
            if number > source.max_pages:
                raise self._refuse("LIMIT_PAGES", number, f"more than {source.max_pages} pages", "raise max_pages")
            page = self._read(number, request)
            if page.records and page.digest in seen:
                what, fix = (
                    "is the same as an earlier page",
                    "check paging; a server may repeat its last page: set total",
                )
                raise self._refuse("TABLE_PAGE_LOOP", number, what, fix)
            seen.add(page.digest)
            if source.paging.total is not None:
                total = self._agreed_total(number, page, total)
            request = self._next(number, page, total)
            if page.cursor is not None and source.paging.kind == "cursor":
                self._note_once(seen, ("cursor", page.cursor), number)
            if page.link is not None and source.paging.kind == "link":
                self._note_once(seen, ("link", page.link), number)
        if total is not None and self._records != total:
            what = f"{self._records} records came, {total} were announced"
            raise self._refuse("TABLE_CHANGED", number, what, "read it while it does not change")

    def _note_once(self, seen: set[object], mark: object, number: int) -> None:
        if mark in seen:
            raise self._refuse("TABLE_PAGE_LOOP", number, "leads back to an earlier page", "mend the interface")
        seen.add(mark)

    def _first(self) -> dict[str, str]:
        paging = self._source.paging
        size = {} if paging.size_parameter is None else {paging.size_parameter: str(paging.size)}
        page = {paging.parameter: str(paging.first)} if paging.kind == "page" else {}
        return dict(self._source.parameters) | size | page

    def _next(self, number: int, page: _Page, total: int | None) -> Request | None:
        source, paging = self._source, self._source.paging
        match paging.kind:
            case "page":
                # A page may be short because the server allows no longer one, so only an empty page is the end.
                if page.records == 0 or (total is not None and self._records >= total):
                    return None
                return source.url, self._first() | {paging.parameter: str(paging.first + number)}
            case "cursor":
                return None if not page.cursor else (source.url, self._first() | {paging.parameter: page.cursor})
            case "link":
                return None if page.link is None else (page.link, {})
            case "none":
                return None

    def _agreed_total(self, number: int, page: _Page, before: int | None) -> int:
        if page.total is None:
            raise self._refuse("TABLE_PAGE_INVALID", number, "holds no total where one is declared", "correct total")
        if before is not None and page.total != before:
            what, fix = "announces another total than the page before", "read it while it does not change"
            raise self._refuse("TABLE_CHANGED", number, what, fix)
        if page.total > self._limits.max_rows:
            raise self._refuse("LIMIT_ROWS", number, f"announces more than {self._limits.max_rows} rows", "read fewer")
        return page.total

    def _read(self, number: int, request: Request) -> _Page:
        body, link = self._fetch(number, request)
        paging = self._source.paging
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise self._refuse("TABLE_PAGE_INVALID", number, "is not UTF-8", "mend the interface") from None
        bad = "TABLE_PAGE_INVALID"
        if not self._engine.one("SELECT json_valid(?)", bad, [text])[0]:
            raise self._refuse(bad, number, "is not JSON", "check url; a login page is HTML")
        place, cursor, total = (_pointer(p) for p in (self._source.records, paging.next, paging.total or ()))
        kind, count, after, announced = self._engine.one(
            "SELECT json_type(j, $place), json_array_length(j, $place), json_extract_string(j, $cursor), "
            "TRY_CAST(json_extract_string(j, $total) AS UBIGINT) FROM (SELECT $page::JSON AS j)",
            bad,
            {"place": place, "cursor": cursor, "total": total, "page": text},
        )
        if kind != "ARRAY":
            raise self._refuse(bad, number, "has no list of records where one is declared", "correct records")
        if self._records + count > self._limits.max_rows:
            raise self._refuse("LIMIT_ROWS", number, f"more than {self._limits.max_rows} rows", "read fewer")
        self._engine.execute(
            "INSERT INTO records SELECT unnest(from_json(json_extract($page, $place), '[\"JSON\"]'))",
            bad,
            {"place": place, "page": text},
        )
        self._records += count
        others = "SELECT count(*) FROM records WHERE json_type(r) IS DISTINCT FROM 'OBJECT'"
        if self._engine.one(f"{others} AND rowid >= ?", bad, [self._records - count])[0]:
            raise self._refuse(bad, number, "has a record that is no object", "correct records")
        digest = hashlib.sha256(body).digest()
        return _Page(digest, count, after if paging.next else None, announced if paging.total else None, link)

    def _fetch(self, number: int, request: Request) -> tuple[bytes, str | None]:
        """The body of a page, and the link to the next; tried again where that is safe and may help."""
        for attempt in range(self._source.retries + 1):
            last = attempt == self._source.retries
            wait = min(0.5 * 2.0**attempt, MAX_WAIT_S)
            try:
                with self._client.stream("GET", _url(request)) as response:
                    if response.status_code not in _AGAIN or last:
                        return self._body(number, response), self._link(number, response)
                    wait = _asked_for(response, wait)
            except httpx.TimeoutException:
                if last:
                    raise self._refuse("TABLE_TIMEOUT", number, "no answer in time", "raise timeout_s") from None
            except httpx.TransportError as error:
                if _is_tls(error):
                    what, fix = "TLS failed", "check ca, and the name in the server's certificate"
                    raise self._refuse("TABLE_TLS", number, what, fix) from None
                if last:
                    what, fix = "the interface cannot be reached", "check url and network, then try again"
                    raise self._refuse("TABLE_UNREACHABLE", number, what, fix) from None
            except httpx.InvalidURL:
                what, fix = "the page before leads to what is no URL", "mend the interface"
                raise self._refuse("TABLE_PAGE_INVALID", number, what, fix) from None
            except httpx.HTTPError:
                raise self._refuse("TABLE_HTTP", number, "the answer is no proper HTTP", "check url") from None
            if wait > MAX_WAIT_S:
                raise self._refuse("TABLE_RATE", number, "the interface wants a long pause", "read it later")
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _body(self, number: int, response: httpx.Response) -> bytes:
        self._check_status(number, response)
        limit, parts, size = self._source.max_page_bytes, list[bytes](), 0
        until = time.monotonic() + PAGE_TIMEOUTS * self._source.timeout_s
        for part in response.iter_raw():
            size += len(part)
            if size > limit:
                raise self._refuse("LIMIT_PAGE_BYTES", number, f"is larger than {limit} bytes", "ask for smaller pages")
            if time.monotonic() > until:
                raise self._refuse("TABLE_TIMEOUT", number, "came too slowly", "raise timeout_s")
            parts.append(part)
        self._bytes += size
        if self._bytes > self._limits.max_file_bytes:
            raise self._refuse("LIMIT_FILE_BYTES", number, f"more than {self._limits.max_file_bytes} bytes in all", "")
        return b"".join(parts)

    def _check_status(self, number: int, response: httpx.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            fix = "check auth and the credential"
            raise self._refuse("TABLE_AUTH", number, f"the interface refuses the credential ({status})", fix)
        if 300 <= status < 400:
            raise self._refuse("TABLE_REDIRECT", number, f"leads elsewhere ({status})", "declare the final url")
        if status == 404:
            raise self._refuse("TABLE_MISSING", number, "there is nothing at the url (404)", "correct url")
        if status == 429:
            raise self._refuse("TABLE_RATE", number, "the interface is asked too often (429)", "read it later")
        if status >= 500:
            raise self._refuse("TABLE_UNREACHABLE", number, f"the interface fails ({status})", "try again later")
        if status != 200:
            raise self._refuse("TABLE_HTTP", number, f"an answer of status {status}", "check url and parameters")
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise self._refuse("TABLE_HTTP", number, "is compressed, which was not asked for", "mend the interface")

    def _link(self, number: int, response: httpx.Response) -> str | None:
        if self._source.paging.kind != "link":
            return None
        try:
            link = response.links.get("next", {}).get("url")
            if link is None:
                return None
            target = urllib.parse.urljoin(str(response.url), link)
            same = _origin(target) == _origin(self._source.url) and bool(httpx.URL(target).host)
        except (ValueError, httpx.InvalidURL):
            same = False
        if not same:
            what = "its next page is at another host"
            raise self._refuse("TABLE_REDIRECT", number, what, "the credential is sent to the declared host alone")
        return target

    def _refuse(self, code: str, number: int, what: str, fix: str) -> DataError:
        return refuse(code, f"{self._title}, page {number}", what, fix)


def _url(request: Request) -> httpx.URL:
    url, parameters = request
    return httpx.URL(url).copy_merge_params(parameters) if parameters else httpx.URL(url)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _pointer(steps: tuple[str, ...]) -> str:
    """A JSON pointer (RFC 6901); the whole document for no step."""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _asked_for(response: httpx.Response, otherwise: float) -> float:
    """The pause that the server asks for in seconds; a date it might give instead is not worth a clock."""
    asked = response.headers.get("Retry-After", "")
    return float(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else otherwise


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _tls(title: str, source: HttpSource) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if source.ca is None else str(source.ca))
    except (OSError, ssl.SSLError):
        raise refuse("TABLE_TLS", title, "the file of authorities cannot be read", "correct ca") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _credentials(authentication: Authentication | None) -> dict[str, str]:
    if authentication is None:
        return {}
    secret = authentication.secret.read()
    if authentication.kind == "basic":
        pair = base64.b64encode(f"{authentication.user}:{secret}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}
    if not secret.isascii():
        where, fix = authentication.secret.where, "write the credential and nothing else"
        raise ConfigError(Problem("SECRET_INVALID", where, "holds characters that no header can", fix))
    return {"Authorization": f"Bearer {secret}"} if authentication.kind == "bearer" else {authentication.header: secret}
