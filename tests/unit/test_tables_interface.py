"""Tables behind HTTP: pages, credentials, and everything an interface may do wrong between two pages."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from table_files import contents, problems_of, spec_of
from table_interface import Answer, Asked, Interface, certificate, serving

from fedcredit.errors import FedcreditError
from fedcredit.tables import Limits, TableSpec, open_table
from fedcredit.tables.engine import Engine
from fedcredit.tables.remote import interface
from fedcredit.tables.remote.secret import Secret
from fedcredit.tables.remote.sources import Authentication, HttpSource, Paging
from fedcredit.tables.spec import Resources

RECORDS = [
    {"id": "c3", "amount": 1.50, "paid": True, "since": "2020-02-29", "city": "杭州", "big": 12345678901234567890123},
    {"id": "a1", "amount": None, "paid": False, "since": "2021-01-31", "city": "宁波", "big": 1},
    {"id": "b2", "amount": -7, "since": None, "big": 2},
    {"id": "d4", "amount": 123456789.01, "paid": False, "since": "1999-12-31", "city": '杭州, "x"', "big": 3},
    {"id": "e5", "amount": 1e300, "paid": True, "since": "1999-12-31", "city": "宁波", "big": 4},
]
CSV = (
    "id,amount,paid,since,city,big\n"
    "c3,1.50,1,2020-02-29,杭州,12345678901234567890123\na1,,0,2021-01-31,宁波,1\nb2,-7,,,,2\n"
    'd4,123456789.01,0,1999-12-31,"杭州, ""x""",3\ne5,1e300,1,1999-12-31,宁波,4\n'
)
TOKEN = "geheim-4711"


def spec(made: Interface | str, folder: Path, declared: dict[str, Any] | None = None, **source: Any) -> TableSpec:
    url = made if isinstance(made, str) else made.url
    plain: dict[str, Any] = {"path": folder, "name": "permits", "id": "id", "id_type": "text", "useless": "keep"}
    return TableSpec(**(plain | {"source": HttpSource(**({"url": url, "retries": 0} | source))} | (declared or {})))


def pages_of(size: int, records: list[dict[str, Any]] = RECORDS) -> Callable[[int, Asked], Answer]:
    def answer(_: int, asked: Asked) -> Answer:
        start = (int(asked.query["page"]) - 1) * size
        return Answer({"data": {"list": records[start : start + size], "total": len(records)}})

    return answer


BY_PAGE = {"records": ("data", "list"), "paging": Paging(kind="page", size_parameter="size", size=2)}


def same(found: TableSpec, file: TableSpec) -> None:
    with open_table(found) as one, open_table(file) as other:
        assert sorted(one.ids().tolist()) == sorted(other.ids().tolist())
        assert one.fingerprint == other.content_fingerprint()
        for name, column in one.read().columns.items():
            ours = dict(zip(one.ids().tolist(), map(str, column.values.tolist()), strict=True))
            theirs = dict(zip(other.ids().tolist(), map(str, other.read().columns[name].values.tolist()), strict=True))
            assert ours == theirs


def test_pages_cursors_links_and_a_file_say_the_same(tmp_path: Path) -> None:
    file = spec_of(tmp_path, CSV.encode())
    with serving(pages_of(2)) as made:
        same(spec(made, tmp_path, **BY_PAGE), file)
        # Three pages, and an empty one that is the end.
        assert [asked.query for asked in made.asked] == [{"page": str(k), "size": "2"} for k in (1, 2, 3, 4)]
    with serving(pages_of(2)) as made:
        paging = Paging(kind="page", total=("data", "total"))
        same(spec(made, tmp_path, records=("data", "list"), paging=paging, parameters=(("region", "330106"),)), file)
        assert [asked.query for asked in made.asked] == [{"page": str(k), "region": "330106"} for k in (1, 2, 3)]

    def by_cursor(_: int, asked: Asked) -> Answer:
        start = int(asked.query.get("after", "0"))
        return Answer({"rows": RECORDS[start : start + 2], "next": str(start + 2) if start + 2 < 5 else None})

    with serving(by_cursor) as made:
        paging = Paging(kind="cursor", parameter="after", next=("next",))
        same(spec(made, tmp_path, records=("rows",), paging=paging), file)

    def by_link(number: int, asked: Asked) -> Answer:
        start = int(asked.query.get("at", "0"))
        link = {"Link": f'</list?at={start + 2}>; rel="next"'} if start + 2 < 5 else {}
        return Answer(RECORDS[start : start + 2], headers=link)

    with serving(by_link) as made:
        same(spec(made, tmp_path, paging=Paging(kind="link")), file)
    with serving(lambda *_: Answer(RECORDS)) as made:
        same(spec(made, tmp_path), file)


def test_only_used_columns_are_kept(tmp_path: Path) -> None:
    with serving(pages_of(2)) as made:
        snapshot = tmp_path / "kept.parquet"
        with open_table(spec(made, tmp_path, {"drop": ("city", "big")}, **BY_PAGE), snapshot=snapshot) as table:
            assert table.features == ("amount", "paid", "since")
        assert "杭州".encode() not in snapshot.read_bytes()
        assert snapshot.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["bearer", "basic", "header"])
def test_credentials_go_to_the_interface_and_nowhere_else(
    tmp_path: Path, kind: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "share.token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    expected = {
        "bearer": ("authorization", f"Bearer {TOKEN}"),
        "basic": ("authorization", f"Basic {base64.b64encode(f'税务:{TOKEN}'.encode()).decode()}"),
        "header": ("x-app-key", TOKEN),
    }[kind]
    authentication = Authentication(kind=kind, secret=Secret(file=path), user="税务", header="X-App-Key")
    said = []

    def answer(number: int, asked: Asked) -> Answer:
        if asked.headers.get(expected[0]) != expected[1]:
            return Answer({"message": f"wrong {asked.headers}"}, 401)
        return Answer({"message": TOKEN}, 403) if number else Answer(RECORDS)

    with serving(answer) as made:
        declared = spec(made, tmp_path, authentication=authentication)
        with open_table(declared) as table:
            assert table.n_rows == 5
            said += [repr(table.spec), repr(declared)]
        with pytest.raises(FedcreditError) as refused:
            open_table(declared)
        assert refused.value.code == "TABLE_AUTH"
        said += [str(refused.value), repr(refused.value), repr(refused.value.__cause__)]
        wrong = Authentication(kind=kind, secret=Secret(env="NO_SUCH_TOKEN"), user="税务", header="X-App-Key")
        with pytest.raises(FedcreditError) as refused:
            open_table(spec(made, tmp_path, authentication=wrong))
        assert refused.value.code == "SECRET_MISSING"
    said += [caplog.text, *capfd.readouterr()]
    assert not [text for text in said if TOKEN in text or expected[1] in text]


def test_no_cursor_is_in_a_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(_: int, asked: Asked) -> Answer:
        return Answer({"rows": RECORDS, "next": None if "after" in asked.query else "91330106MA2ABCDE3X"})

    with serving(answer) as made:
        paging = Paging(kind="cursor", parameter="after", next=("next",))
        problems_of(spec(made, tmp_path, records=("rows",), paging=paging))
        assert len(made.asked) == 2
    assert "91330106MA2ABCDE3X" not in caplog.text


def _html(number: int, asked: Asked) -> Answer:
    return Answer(b"<html>please log in</html>", headers={"Content-Type": "text/html"})


BAD: dict[str, tuple[Callable[[int, Asked], Answer], dict[str, Any], str, str]] = {
    "html": (_html, {}, "TABLE_PAGE_INVALID", "page 1"),
    "half": (lambda *_: Answer(b'[{"id": "a"'), {}, "TABLE_PAGE_INVALID", "page 1"),
    "latin": (lambda *_: Answer(b'[{"id": "\xe4"}]'), {}, "TABLE_PAGE_INVALID", "page 1"),
    "deep": (lambda *_: Answer(b"[" * 200_000 + b"]" * 200_000), {}, "TABLE_PAGE_INVALID", "page 1"),
    "no list": (lambda *_: Answer({"data": {}}), {}, "TABLE_PAGE_INVALID", "page 1"),
    "no object": (lambda *_: Answer([{"id": "a"}, 5]), {}, "TABLE_PAGE_INVALID", "page 1"),
    "name twice": (lambda *_: Answer(b'[{"id": "a", "x": 1, "x": 2}]'), {}, "TABLE_PAGE_INVALID", "permits"),
    "nested": (lambda *_: Answer([{"id": "a", "x": {"y": 1}}, {"id": "b", "x": 2}]), {}, "COLUMN_TYPE", "'x'"),
    "repeats": (lambda *_: Answer({"data": {"list": RECORDS[:2]}}), BY_PAGE, "TABLE_PAGE_LOOP", "page 2"),
    "status": (lambda *_: Answer("x", 418), {}, "TABLE_HTTP", "page 1"),
    "gone": (lambda *_: Answer("x", 404), {}, "TABLE_MISSING", "page 1"),
    "denied": (lambda *_: Answer("x", 403), {}, "TABLE_AUTH", "page 1"),
    "busy": (lambda *_: Answer("x", 429), {}, "TABLE_RATE", "page 1"),
    "broken": (lambda *_: Answer("x", 500), {}, "TABLE_UNREACHABLE", "page 1"),
    "redirect": (
        lambda *_: Answer("x", 302, {"Location": "https://elsewhere.example/"}),
        {},
        "TABLE_REDIRECT",
        "page 1",
    ),
    "squeezed": (lambda *_: Answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), {}, "TABLE_HTTP", "page 1"),
    "huge": (lambda *_: Answer(b" " * 300_000 + b"[]"), {"max_page_bytes": 100_000}, "LIMIT_PAGE_BYTES", "page 1"),
    "endless": (
        lambda number, _: Answer({"data": {"list": [{"id": f"s{number}"}]}}),
        BY_PAGE | {"max_pages": 5},
        "LIMIT_PAGES",
        "page 6",
    ),
    "cursor loop": (
        lambda number, _: Answer({"list": [{"id": f"s{number}"}], "next": "abab"[number % 2]}),
        {"records": ("list",), "paging": Paging(kind="cursor", parameter="after", next=("next",))},
        "TABLE_PAGE_LOOP",
        "page 3",
    ),
    "cursor too long for a URL": (
        lambda number, _: Answer({"list": [{"id": f"s{number}"}], "next": "a" * 70_000}),
        {"records": ("list",), "paging": Paging(kind="cursor", parameter="after", next=("next",))},
        "TABLE_PAGE_INVALID",
        "page 2",
    ),
    "link elsewhere": (
        lambda *_: Answer([{"id": "a"}], headers={"Link": '<http://127.0.0.2:1/list>; rel="next"'}),
        {"paging": Paging(kind="link")},
        "TABLE_REDIRECT",
        "page 1",
    ),
    "link to nowhere": (
        lambda *_: Answer([{"id": "a"}], headers={"Link": '</list?at=\x01>; rel="next"'}),
        {"paging": Paging(kind="link")},
        "TABLE_REDIRECT",
        "page 1",
    ),
    "cursor without end": (
        lambda *_: Answer({"list": [{"id": "a"}], "next": "k" * 70_000}),
        {"records": ("list",), "paging": Paging(kind="cursor", parameter="after", next=("next",))},
        "TABLE_PAGE_INVALID",
        "page 2",
    ),
    "link to itself": (
        lambda number, _: Answer([{"id": f"s{number}"}], headers={"Link": '</list?at=1>; rel="next"'}),
        {"paging": Paging(kind="link")},
        "TABLE_PAGE_LOOP",
        "page 2",
    ),
    "total changes": (
        lambda number, _: Answer({"list": [{"id": f"s{number}"}], "total": 3 + number}),
        {"records": ("list",), "paging": Paging(kind="page", total=("total",))},
        "TABLE_CHANGED",
        "page 2",
    ),
    "total is not reached": (
        lambda number, _: Answer({"list": [] if number else [{"id": "a"}], "total": 3}),
        {"records": ("list",), "paging": Paging(kind="page", total=("total",))},
        "TABLE_CHANGED",
        "page 2",
    ),
    "no total": (
        lambda *_: Answer({"list": [{"id": "a"}], "total": "viele"}),
        {"records": ("list",), "paging": Paging(kind="page", total=("total",))},
        "TABLE_PAGE_INVALID",
        "page 1",
    ),
    "total beyond all": (
        lambda *_: Answer({"list": [{"id": "a"}], "total": 10**12}),
        {"records": ("list",), "paging": Paging(kind="page", total=("total",))},
        "LIMIT_ROWS",
        "page 1",
    ),
    "nothing": (lambda *_: Answer([]), {}, "COLUMN_MISSING", "permits"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_an_interface_does_wrong_is_named_with_its_page(tmp_path: Path, name: str) -> None:
    answer, source, code, where = BAD[name]
    with serving(answer) as made:
        found = problems_of(spec(made, tmp_path, **source))
    assert [problem.code for problem in found] == [code]
    assert found[0].where.startswith("permits")
    assert where in found[0].where


def test_the_same_checks_as_of_a_file(tmp_path: Path) -> None:
    bad = [{"id": "a", "x": "1,000"}, {"id": "a", "x": "2"}, {"id": "1.2E+17", "x": "3"}, {"x": 4}, *RECORDS]
    columns = {"drop": ("amount", "paid", "since", "city", "big")}
    with serving(lambda *_: Answer(bad)) as made:
        found = problems_of(spec(made, tmp_path, columns))
    assert {p.code for p in found} == {"ID_DUPLICATE", "ID_SCIENTIFIC", "ID_INVALID", "VALUE_INVALID"}
    with serving(lambda *_: Answer(RECORDS)) as made:
        assert [p.code for p in problems_of(spec(made, tmp_path), limits=Limits(max_rows=4))] == ["LIMIT_ROWS"]
    with serving(lambda *_: Answer([{"id": "a", "x": "\0"}])) as made:
        assert [p.code for p in problems_of(spec(made, tmp_path))] == ["VALUE_INVALID"]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_a_pause(tmp_path: Path, status: int) -> None:
    waits: list[float] = []
    source = HttpSource(url="", retries=3)

    def answer(number: int, asked: Asked) -> Answer:
        return Answer("x", status, {"Retry-After": "7"} if number == 1 else {}) if number < 3 else Answer(RECORDS)

    with serving(answer) as made, _engine() as engine:
        source = HttpSource(url=made.url, retries=3)
        assert "amount" in interface.collect("permits", source, engine, Limits(), waits.append)
        assert len(made.asked) == 4
    assert waits == [0.5, 7.0, 2.0]


def test_what_does_not_pass_is_not_tried_again(tmp_path: Path) -> None:
    for status in (400, 401, 403, 404, 500):
        with serving(lambda _, __, status=status: Answer("x", status)) as made:  # type: ignore[misc]
            problems_of(spec(made, tmp_path, retries=3))
            assert len(made.asked) == 1


def test_a_long_pause_is_not_waited_for(tmp_path: Path) -> None:
    with serving(lambda *_: Answer("x", 503, {"Retry-After": "86400"})) as made:
        assert [p.code for p in problems_of(spec(made, tmp_path, retries=3))] == ["TABLE_RATE"]


def test_an_interface_that_does_not_answer(tmp_path: Path) -> None:
    assert [p.code for p in problems_of(spec("http://127.0.0.1:1/x", tmp_path))] == ["TABLE_UNREACHABLE"]


def test_an_interface_that_is_silent(tmp_path: Path) -> None:
    import threading

    gone = threading.Event()

    def answer(number: int, asked: Asked) -> Answer:
        gone.wait(30)
        return Answer([])

    with serving(answer) as made:
        assert [p.code for p in problems_of(spec(made, tmp_path, timeout_s=0.3))] == ["TABLE_TIMEOUT"]
        gone.set()


def test_tls_proves_who_the_interface_is(tmp_path: Path) -> None:
    good, other = (certificate(tmp_path / f"{name}.pem", "127.0.0.1") for name in ("good", "other"))
    elsewhere = certificate(tmp_path / "elsewhere.pem", "127.0.0.9")
    with serving(lambda *_: Answer(RECORDS), good) as made:
        with open_table(spec(made, tmp_path, ca=good)) as table:
            assert table.n_rows == 5
        for ca in (None, other):
            assert [p.code for p in problems_of(spec(made, tmp_path, ca=ca))] == ["TABLE_TLS"]
    with serving(lambda *_: Answer(RECORDS), elsewhere) as made:
        assert [p.code for p in problems_of(spec(made, tmp_path, ca=elsewhere))] == ["TABLE_TLS"]


def test_proxies_of_the_environment_do_not_see_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda *_: Answer(RECORDS)) as made, serving(lambda *_: Answer("x", 500)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        assert len(contents(spec(made, tmp_path))["ids"]) == 5
        assert proxy.asked == []


def _engine() -> Any:
    import contextlib

    return contextlib.closing(Engine("permits", "/nothing", Resources()))
