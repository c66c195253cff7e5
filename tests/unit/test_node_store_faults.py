"""A database that goes away, stands still or has no room: a typed error in bounded time, and no password in it."""

from __future__ import annotations

import logging
import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from postgresql_server import Server
from raw_store import connected, run

from fedcredit.errors import ConfigError
from fedcredit.node.store import Store, StoreDamaged, StoreFull, StoreUnavailable, dialects

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 4 MiB that is really full when it is."""
    folder = Path(tempfile.mkdtemp(prefix="fedcredit-small-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False, timeout=30).returncode != 0:
        folder.rmdir()
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=30)
    folder.rmdir()


def opened(url: str) -> Store:
    store = Store.open(url)
    store.jobs.propose("job", b"{}", b"n" * 32, b"f" * 32)
    return store


def fill_up(store: Store) -> None:
    """Checkpoints until there is no room; what was acknowledged before is there, and nothing of the one that failed."""
    kept: list[str] = []

    def fill() -> None:
        for number in range(100):
            store.stages.finish("job", f"stage.{number}", os.urandom(1 << 20), NOW)
            kept.append(f"stage.{number}")

    with pytest.raises(StoreFull) as full:
        fill()
    assert (full.value.code, full.value.exit_status) == ("STORE_FULL", 78)
    assert 0 < len(kept) < 10
    assert [checkpoint.stage for checkpoint in store.stages.checkpoints("job")] == kept
    assert all(store.stages.state("job", name) is not None for name in kept)


def test_a_full_disk_under_sqlite(small_disk: Path) -> None:
    store = opened(f"sqlite:///{small_disk / 'store.sqlite'}")
    (small_disk / "ballast").write_bytes(bytes(1 << 20))
    fill_up(store)
    (small_disk / "ballast").unlink()
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.close()


def test_a_full_disk_under_postgresql(postgresql: Server, small_disk: Path) -> None:
    url = postgresql.url()
    store = opened(url)
    place = small_disk / "space"
    place.mkdir()
    os.chown(place, pwd.getpwnam("postgres").pw_uid, -1)
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE TABLESPACE small LOCATION '{place}'"))
        connection.execute(sa.text("ALTER TABLE stages SET TABLESPACE small"))
        fill_up(store)
        connection.execute(sa.text("ALTER TABLE stages SET TABLESPACE pg_default"))
        connection.execute(sa.text("DROP TABLESPACE small"))
    engine.dispose()
    store.stages.finish("job", "after", b"x", NOW)
    store.close()


def test_a_file_that_is_no_database_is_called_damaged(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"not a database, but long enough to be taken for one" * 200)
    for way in (Store.open, Store.look):
        with pytest.raises(StoreDamaged, match="STORE_DAMAGED"):
            way(f"sqlite:///{path}")


def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="STORE_MISSING"):
        Store.look(f"sqlite:///{tmp_path / 'store.sqlite'}")
    Store.probe(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with pytest.raises(StoreUnavailable, match="its folder is not there"):
        Store.probe(f"sqlite:///{tmp_path / 'none' / 'store.sqlite'}")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_probed_without_a_trace(empty_store_url: str) -> None:
    Store.probe(empty_store_url)
    store = Store.open(empty_store_url)
    Store.probe(empty_store_url)
    assert store.lease.fence == 1
    store.close()
    run(empty_store_url, "UPDATE schema_version SET version = 99")
    with pytest.raises(ConfigError, match="STORE_VERSION"):
        Store.probe(empty_store_url)


def test_a_connection_that_died_unused_is_replaced(postgresql: Server) -> None:
    store = opened(postgresql.url())
    postgresql.stop()
    with pytest.raises(StoreUnavailable):
        store.jobs.sign("job", b"spec", b"s" * 32)
    postgresql.start()
    # As after a restart of the server at night: nobody has noticed yet, and nobody has to.
    store.jobs.sign("job", b"spec", b"s" * 32)
    postgresql.stop("fast")
    postgresql.start()
    store.jobs.start("job", b"signatures")
    store.close()


def test_a_write_whose_connection_is_lost_is_undone_and_said(postgresql: Server) -> None:
    url = postgresql.url()
    store = opened(url)

    def write() -> None:
        with store._database.writing() as connection:
            connection.execute(sa.text("UPDATE jobs SET state = 'failed'"))
            backend = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar()
            run(url, "SELECT pg_terminate_backend(:pid, 10000)", pid=backend)
            connection.execute(sa.text("UPDATE jobs SET state = 'cancelled'"))

    with pytest.raises(StoreUnavailable) as lost:
        write()
    assert lost.value.code == "STORE_UNAVAILABLE"
    assert [row.state for row in store.jobs.all()] == ["proposed"]
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.close()


def test_a_server_that_stands_still_is_given_up(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "WAIT_S", 2)
    store = opened(postgresql.url())
    monkeypatch.setattr(dialects, "_ANSWER_S", 1)
    postgresql.pause()
    try:
        with pytest.raises(StoreUnavailable):
            store.jobs.sign("job", b"spec", b"s" * 32)
    finally:
        postgresql.resume()
    monkeypatch.undo()
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.close()


def test_a_write_does_not_wait_for_ever_for_another(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialects, "WAIT_S", 1)
    store = opened(store_url)
    with connected(store_url) as connection:
        connection.execute(sa.text("UPDATE leases SET expires = expires"))
        with pytest.raises(StoreUnavailable, match="busy"):
            store.jobs.sign("job", b"spec", b"s" * 32)
    store.jobs.sign("job", b"spec", b"s" * 32)
    store.close()


def test_no_password_is_shown(postgresql: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = postgresql.url()
    store = opened(url)
    said = [repr(store), repr(store._database), repr(store._database._engine)]
    store.close()
    wrong = postgresql.password[::-1] + "x"
    for bad in (
        url.replace(postgresql.password, wrong),
        url.replace("127.0.0.1", "host.invalid"),
        "postgresql://u:p/\\",
    ):
        for way in (Store.open, Store.probe):
            with pytest.raises(ConfigError, match="STORE_") as refused:
                way(bad)
            said += [str(refused.value), repr(refused.value.__context__)]
    with pytest.raises(ConfigError, match="STORE_URL"):
        Store.open(f"mysql://root:{wrong}@host/db")
    text = "\n".join([*said, caplog.text])
    assert postgresql.password not in text
    assert wrong not in text
