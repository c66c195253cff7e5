"""Accounts in a file, for installations that have no login of their own yet: scrypt hashes, and a lock after failures.

Who tries passwords finds none: after five failures in a row an account takes no login for a quarter of an hour, and a
failure is on the disk before the password is looked at, so that a node that is killed forgets none. An unknown account
costs as much time as a known one, and gets the same answer.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from fedcredit.errors import ConfigError, Problem, RefusedError, UsageError
from fedcredit.governance.consent.subjects import is_enterprise_code, is_person_number, is_sole_proprietor
from fedcredit.node.durable_files import folder_locked, replace_file
from fedcredit.node.pki import read_secret
from fedcredit.runtime.clock import Clock

__all__ = ["LOCK_S", "MAX_FAILURES", "LocalAccounts"]

MAX_FAILURES = 5
LOCK_S = 15 * 60
MIN_PASSWORD = 10

_FORMAT = "fedcredit-accounts/1"
_ACCOUNT = re.compile(r"[a-z][a-z0-9_.@-]{0,63}")
_N, _R, _P = 1 << 15, 8, 1
"""32 MiB and about a tenth of a second for each try."""

_SALT_BYTES, _HASH_BYTES = 16, 32
_AT_ONCE = 2
_MAX_SUBJECTS = 100


class LocalAccounts:
    """The accounts in `path`. Beside it lies a file of failures, which the node alone writes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._failures = path.with_name(f"{path.stem}.failures.json")
        self._lock, self._hashing = threading.Lock(), threading.Semaphore(_AT_ONCE)

    def add(self, name: str, kind: str, subjects: Sequence[str], password: str) -> None:
        """Make an account, or give the one of that name a new password and subjects. Raises: UsageError (ACCOUNT)."""
        problems = list(_wrong(name, kind, subjects, password))
        if problems:
            raise UsageError([Problem("ACCOUNT", f"account {name[:64]}", what, fix) for what, fix in problems])
        salt = secrets.token_bytes(_SALT_BYTES)
        made = {
            "kind": kind,
            "subjects": sorted(set(subjects)),
            "salt": salt.hex(),
            "hash": self._hash(password, salt).hex(),
        }
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with folder_locked(self._path.parent):
            accounts = self._read() if self._path.exists() else {}
            value = {"format": _FORMAT, "accounts": {**accounts, name: made}}
            replace_file(self._path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")

    def login(self, name: str, password: str) -> tuple[str, tuple[str, ...]]:
        """Kind and subjects of the account. Raises: RefusedError (LOGIN_REFUSED), ConfigError (ACCOUNTS_INVALID)."""
        account = self._read().get(name)
        with self._lock:
            allowed = account is not None and self._count(name)
        salt, wanted = bytes(_SALT_BYTES), bytes(_HASH_BYTES)
        if account is not None:
            salt, wanted = bytes.fromhex(account["salt"]), bytes.fromhex(account["hash"])
        # The same work whether there is such an account or not, and whether it is locked or not.
        right = hmac.compare_digest(self._hash(password, salt), wanted)
        if account is None or not allowed or not right:
            what = "name or password is wrong, or there were too many failures"
            raise RefusedError(Problem("LOGIN_REFUSED", "login", what, f"try again in {LOCK_S // 60} minutes"))
        with self._lock:
            self._forget(name)
        return str(account["kind"]), tuple(account["subjects"])

    def check(self) -> None:
        """See that both files can be read. Raises: ConfigError (ACCOUNTS_INVALID, KEY_EXPOSED)."""
        self._read()
        self._read_failures()

    def _count(self, name: str) -> bool:
        """Note one more failure, until it turns out to be none; whether the account may be tried at all."""
        now = int(self._clock.now().timestamp())
        failures = self._read_failures()
        count, since = failures.get(name, (0, now))
        if count >= MAX_FAILURES:
            if now < since + LOCK_S:
                return False
            count = 0
        replace_file(self._failures, _failures_of({**failures, name: (count + 1, now)}))
        return True

    def _forget(self, name: str) -> None:
        failures = self._read_failures()
        if failures.pop(name, None) is not None:
            replace_file(self._failures, _failures_of(failures))

    def _hash(self, password: str, salt: bytes) -> bytes:
        with self._hashing:
            return Scrypt(salt=salt, length=_HASH_BYTES, n=_N, r=_R, p=_P).derive(password.encode())

    def _read(self) -> dict[str, dict[str, Any]]:
        problem = ConfigError(Problem("ACCOUNTS_INVALID", str(self._path), "is no file of accounts", "restore it"))
        if not self._path.exists():
            return {}
        # Whole however long it is: a key file's limit does not hold for a file of accounts.
        read_secret(self._path)
        try:
            value = json.loads(self._path.read_bytes())
            if value["format"] != _FORMAT:
                raise problem
            accounts: dict[str, dict[str, Any]] = value["accounts"]
            for name, account in accounts.items():
                sizes = len(bytes.fromhex(account["salt"])), len(bytes.fromhex(account["hash"]))
                if sizes != (_SALT_BYTES, _HASH_BYTES) or list(_wrong(name, account["kind"], account["subjects"])):
                    raise problem
        except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError):
            raise problem from None
        return accounts

    def _read_failures(self) -> dict[str, tuple[int, int]]:
        if not self._failures.exists():
            return {}
        try:
            found = json.loads(self._failures.read_bytes())
            return {str(name): (int(count), int(since)) for name, (count, since) in found.items()}
        except (ValueError, TypeError, AttributeError, OSError, RecursionError):
            what, fix = "is no list of failed logins", "remove it once you know why"
            raise ConfigError(Problem("ACCOUNTS_INVALID", str(self._failures), what, fix)) from None


def _failures_of(failures: dict[str, tuple[int, int]]) -> bytes:
    return json.dumps(failures, sort_keys=True).encode() + b"\n"


def _wrong(name: str, kind: str, subjects: Sequence[str], password: str | None = None) -> list[tuple[str, str]]:
    found = []
    if not _ACCOUNT.fullmatch(name):
        found.append(("is not a name of an account", "a lower-case letter, then up to 63 of a-z 0-9 _ . @ -"))
    if password is not None and len(password) < MIN_PASSWORD:
        found.append(("has too short a password", f"at least {MIN_PASSWORD} characters"))
    if not 1 <= len(subjects) <= _MAX_SUBJECTS:
        found.append((f"represents no subject, or more than {_MAX_SUBJECTS}", "give --subject"))
    enterprises = [is_enterprise_code(subject) and not is_sole_proprietor(subject) for subject in subjects]
    persons = [is_person_number(subject) or is_sole_proprietor(subject) for subject in subjects]
    if kind not in ("enterprise", "person"):
        found.append(("is of no kind", "enterprise, or person"))
    elif not all(enterprises if kind == "enterprise" else persons):
        fix = "enterprise: codes of enterprises; person: the person's number, and codes 92... of its own business"
        found.append((f"of kind {kind} names a subject that does not go with it", fix))
    if any(is_sole_proprietor(subject) and not is_enterprise_code(subject) for subject in subjects):
        found.append(("names a code with a wrong check character", "correct it"))
    return found
