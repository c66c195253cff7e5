"""The key under which a department's log of questions has its subjects: only who holds it finds one's entries.

It never leaves the node and is kept as long as the log is: with another key, nobody would find what was asked before.
"""

from __future__ import annotations

import hmac
from pathlib import Path

from fedcredit.errors import DataError
from fedcredit.node.own_secret import SECRET_BYTES, own_secret
from fedcredit.tables.identifiers import subject_id

__all__ = ["KEY_BYTES", "log_folder", "log_key", "subject_tag", "tag_of_code"]

KEY_BYTES, TAG_BYTES = SECRET_BYTES, 16
_FOLDER, _FILE = "verify", "log.key"


def log_folder(node: Path) -> Path:
    """Where a node keeps what its service of questions writes: the log is in `audit/` of it."""
    return node / _FOLDER


def log_key(node: Path) -> bytes:
    """The key of a node, made when it is first needed. Raises: ConfigError (SECRET_INVALID)."""
    fix = "restore it from the backup; with another key, earlier entries about a subject are not found"
    return own_secret(node, f"{_FOLDER}/{_FILE}", fix=fix)


def subject_tag(key: bytes, subject: str) -> str:
    """What stands for a subject in the log, in hexadecimal."""
    return tag_of_code(key, _normal(subject)).hex()


def tag_of_code(key: bytes, code: bytes) -> bytes:
    """The same, as bytes, of a code that is in normal form already, as tables have it."""
    return hmac.digest(key, code, "sha256")[:TAG_BYTES]


def _normal(subject: str) -> bytes:
    try:
        return bytes(subject_id(subject))
    except DataError:
        # Asked about by another name than a code: as it was asked.
        return subject.encode()
