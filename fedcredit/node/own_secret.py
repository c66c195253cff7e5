"""A secret of the node's own in a file: made when it is first needed, 32 bytes that its owner alone can read."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from fedcredit.errors import ConfigError, Problem
from fedcredit.node.durable_files import create_file

__all__ = ["SECRET_BYTES", "own_secret"]

SECRET_BYTES: Final = 32


def own_secret(folder: Path, name: str, *, fix: str) -> bytes:
    """The secret in the file `name` of a node's folder; `fix` says what to do where it cannot be used.

    Of several processes that need it first, one makes it and all have that one. Raises: ConfigError (SECRET_INVALID).
    """
    path = folder / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        try:
            create_file(path, secrets.token_bytes(SECRET_BYTES))
        except ConfigError as error:
            if error.code != "EXISTS":
                raise
        secret = path.read_bytes()
    if len(secret) != SECRET_BYTES or path.stat().st_mode & 0o077:
        raise ConfigError(Problem("SECRET_INVALID", name, "is not 32 bytes that its owner alone can read", fix))
    return secret
