"""Where a credential is, never what it is: a file that this user alone may read, or a variable of the environment."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import ConfigError, Problem

__all__ = ["Secret"]

MAX_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Secret:
    """One of `file` and `env`. `where` names it in errors: a path or a variable, never its content."""

    file: Path | None = None
    env: str | None = None

    @property
    def where(self) -> str:
        """The place, for people."""
        return f"environment: {self.env}" if self.file is None else str(self.file)

    def read(self, environment: Mapping[str, str] | None = None) -> str:
        """The credential, without blanks around it.

        Raises: ConfigError (SECRET_MISSING, SECRET_READABLE, SECRET_INVALID); its text holds nothing of the content.
        """
        if self.file is None:
            found = (os.environ if environment is None else environment).get(self.env or "")
            if found is None:
                raise self._refuse("SECRET_MISSING", "is not set", "set it in the environment of the node")
        else:
            found = self._read_file(self.file)
        text = found.strip()
        if not text or not text.isprintable():
            raise self._refuse(
                "SECRET_INVALID", "holds no single line of text", "write the credential and nothing else"
            )
        return text

    def _read_file(self, path: Path) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            what = f"cannot be read ({os.strerror(error.errno or 0)})"
            raise self._refuse("SECRET_MISSING", what, "write the credential to this file") from None
        try:
            seen = os.fstat(descriptor)
            if not stat.S_ISREG(seen.st_mode):
                raise self._refuse("SECRET_MISSING", "is not a file", "give the path of a file")
            if seen.st_mode & 0o077:
                raise self._refuse("SECRET_READABLE", "may be read by others on this machine", "chmod 600 the file")
            if seen.st_size > MAX_BYTES:
                raise self._refuse("SECRET_INVALID", f"is larger than {MAX_BYTES} bytes", "write the credential alone")
            return os.read(descriptor, MAX_BYTES).decode()
        except UnicodeDecodeError:
            raise self._refuse("SECRET_INVALID", "is not UTF-8", "write the credential as plain text") from None
        finally:
            os.close(descriptor)

    def _refuse(self, code: str, what: str, fix: str) -> ConfigError:
        return ConfigError(Problem(code, self.where, what, fix))
