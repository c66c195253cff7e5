"""A real PostgreSQL server for tests: a folder of its own, fsync, a password, a port on loopback."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg
from free_ports import free_port
from psycopg import sql

__all__ = ["Server", "missing"]

_USER = "postgres"
_LIMIT_S = 300


def _programs() -> Path | None:
    """Where the server's programs are: Debian keeps them beside their version, out of PATH."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if (initdb := shutil.which("initdb")) is not None:
        found.append(Path(initdb).resolve().parent)
    return next((folder for folder in found if (folder / "postgres").exists() and (folder / "initdb").exists()), None)


def missing() -> str | None:
    """Why no server can be started here, if none can."""
    if _programs() is None:
        return "no PostgreSQL server is installed"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(_USER)
        except KeyError:
            return "PostgreSQL refuses root, and there is no user postgres"
    return None


class Server:
    """Use as a context manager. `url` gives the address of an empty place, password included."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None, "the caller has asked `missing`"
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="fedcredit-pg-"))
        self._password = secrets.token_hex(8)
        self.port = free_port()
        self._schemas = 0

    def __enter__(self) -> Server:
        try:
            password = self._folder / "password"
            password.write_text(self._password)
            if os.geteuid() == 0:
                user = pwd.getpwnam(_USER)
                for path in (self._folder, password):
                    os.chown(path, user.pw_uid, user.pw_gid)
            self._run(
                "initdb",
                "-D",
                self._data,
                "-U",
                _USER,
                "-A",
                "scram-sha-256",
                f"--pwfile={password}",
                "-E",
                "UTF8",
                "-N",
            )
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self.resume()
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder}"
        options += " -c fsync=on -c shared_buffers=16MB -c max_connections=40 -c logging_collector=off"
        self._run(
            "pg_ctl", "-D", self._data, "-w", "-t", "240", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; by default as a crash would."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "240", "-m", mode, "stop")

    def serve_tls(self, pem: bytes) -> None:
        """From now on speak TLS with the key and the certificate in `pem`."""
        path = self._folder / "data" / "tls.pem"
        path.write_bytes(pem)
        path.chmod(0o600)
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(path, user.pw_uid, user.pw_gid)
        with psycopg.connect(self._address, autocommit=True) as connection:
            for setting, value in (("ssl_cert_file", "tls.pem"), ("ssl_key_file", "tls.pem"), ("ssl", "on")):
                connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "240", "-m", "fast", "stop")
        self.start()

    def url(self) -> str:
        """The address of a new schema, where no other test's tables are."""
        self._schemas += 1
        name = f"test{self._schemas}"
        with psycopg.connect(self._address) as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        return f"{self._address}?options=-csearch_path%3D{name}"

    def pause(self) -> None:
        """Let every process of the server stand still."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    @property
    def password(self) -> str:
        """What must not be seen anywhere."""
        return self._password

    @property
    def log(self) -> Path:
        """What the server wrote about its work."""
        return self._folder / "log"

    @property
    def _data(self) -> str:
        return str(self._folder / "data")

    @property
    def _address(self) -> str:
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    def _signal(self, number: signal.Signals) -> None:
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, number)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", *command]
        # Not `capture_output`: the server would hold the pipe open, and we would wait for its end.
        with (self._folder / "output").open("ab") as output:
            subprocess.run(command, stdout=output, stderr=output, timeout=_LIMIT_S, check=True, cwd=self._folder)
