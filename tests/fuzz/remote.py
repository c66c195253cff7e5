"""Pages of an HTTP interface, Parquet files, and the notes in a snapshot: read by the engine, within our own bounds."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import httpx
from fuzz import mutate
from fuzz.engine import Target

from fedcredit.tables import TableSpec, open_table
from fedcredit.tables.engine import Engine
from fedcredit.tables.remote.interface import _Reader
from fedcredit.tables.remote.snapshot import notes_of
from fedcredit.tables.remote.sources import HttpSource, Paging
from fedcredit.tables.spec import Limits, Resources

__all__ = ["remote"]

CODES = (b"200", b"204", b"301", b"401", b"404", b"429", b"500", b"503")
PAGE = {"data": {"list": [{"id": "a1", "x": 1.5}, {"id": "b2", "x": None}], "total": 2, "next": "k2"}}


def remote(folder: Path) -> Iterator[Target]:
    """The targets; files that are read lie in `folder`."""
    seeds = tuple(json.dumps(page).encode() for page in (PAGE, {"data": {"list": []}}))
    # The engine answers several questions a page and cannot be asked without.
    yield Target("table.page", seeds, _page_reader(folder), mutate.json_text, share=0.1)
    yield Target(
        "table.link", (b'200 <https://share.example/x?page=2>; rel="next"', b"429 120"), _link_reader(), mutate.text
    )
    yield from _parquet(folder)


def _page_reader(folder: Path) -> Callable[[bytes], object]:
    paging = Paging(kind="cursor", next=("data", "next"), total=("data", "total"))
    source = HttpSource(url="https://share.example/x", records=("data", "list"), paging=paging, retries=0)
    engine = Engine("permits", str(folder / "nothing"), Resources())
    engine.execute("CREATE TABLE records (r JSON)")
    reader = _Reader("permits", source, engine, Limits(), lambda seconds: None)
    body = b""
    reader._client = httpx.Client(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=httpx.ByteStream(body)))
    )

    def decode(data: bytes) -> None:
        nonlocal body
        body, reader._bytes, reader._records = data, 0, 0
        engine.execute("DELETE FROM records")
        page = reader._read(1, (source.url, {}))
        following = reader._next(1, page, page.total)
        if following is not None:
            body = b'{"data": {"list": []}}'
            reader._fetch(2, following)

    return decode


def _link_reader() -> Callable[[bytes], object]:
    """Of the headers that lead on: a status, then the value of Link and of Retry-After."""
    source = HttpSource(url="https://share.example/x", paging=Paging(kind="link"), retries=1)
    engine = Engine("permits", "/nothing", Resources())
    reader = _Reader("permits", source, engine, Limits(), lambda seconds: None)
    status, value = 200, b""

    def answer(request: httpx.Request) -> httpx.Response:
        headers = [(b"Link", value), (b"Retry-After", value), (b"Content-Encoding", b"identity")]
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(b"[]"))

    reader._client = httpx.Client(transport=httpx.MockTransport(answer))

    def decode(data: bytes) -> None:
        nonlocal status, value
        code, _, value = data.partition(b" ")
        status = int(code) if code in CODES else 200
        found = reader._fetch(1, (source.url, {}))[1]
        if found is not None:
            httpx.URL(found)

    return decode


def _parquet(folder: Path) -> Iterator[Target]:
    made = folder / "made.parquet"
    rows = "SELECT 'a' || i AS id, i * 1.5 AS x, 'level ' || (i % 3) AS y, DATE '2026-01-01' + i::INT AS d"
    seeds = []
    with contextlib.closing(duckdb.connect()) as connection:
        for compression in ("uncompressed", "zstd", "snappy"):
            notes = "{'fedcredit.notes': '[\"TABLE_ROLE_WRITES\"]'}"
            how = f"FORMAT parquet, COMPRESSION {compression}, KV_METADATA {notes}"
            connection.execute(f"COPY ({rows} FROM range(20) t(i)) TO '{made}' ({how})")
            seeds.append(made.read_bytes())
    table = folder / "table.parquet"

    def opened(data: bytes) -> None:
        table.write_bytes(data)
        spec = TableSpec(path=table, id="id", id_type="text", useless="keep", format="parquet")
        with open_table(spec) as found:
            found.read()

    def noted(data: bytes) -> None:
        table.write_bytes(data)
        notes_of(table, "permits", Resources())

    # As for CSV files: the engine takes milliseconds to start.
    yield Target("table.parquet", tuple(seeds), opened, mutate.blind, share=0.01)
    yield Target("table.notes", tuple(seeds), noted, mutate.blind, share=0.01)
