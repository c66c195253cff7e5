"""Reading a TOML file so that its owner can mend it in one go: every problem is collected, none hides another.

Sections are parsed one by one into frozen pydantic models. A section with problems is parsed again without its
offending keys, so that checks across sections still run; the file as a whole is refused all the same.
No text of a problem repeats a value of the file: it may hold a secret.
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fedcredit.errors import ConfigError, Problem

__all__ = ["SECRET_KEYS", "Reader", "Section", "dump", "nearest"]

MAX_FILE_BYTES = 1 << 20
"""A configuration file is pages, not megabytes; more is a mistake or an attack."""

MAX_PROBLEMS, MAX_KEY = 100, 120
"""What is said of a file at most: problems, and characters of a key's name."""

_PEM = re.compile(r"-----BEGIN [A-Z ]*-----")
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@")
SECRET_KEYS = re.compile(r"(^|_)(password|passwd|passphrase|secret|token|private_key|api_key)($|_)")
"""Names of keys and parameters that hold a secret."""

M = TypeVar("M", bound=BaseModel)


class Section(BaseModel):
    """A section of a file: frozen, no key too many, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class Reader:
    """One file being read. Call `section` for every part, then `finish`, which raises ConfigError with all problems."""

    def __init__(self, path: Path, raw: dict[str, Any] | None = None) -> None:
        """`raw`: what would be in the file, where something else than a file says it; `path` then names that."""
        self.path = path
        self.problems: list[Problem] = []
        self.raw = self._load() if raw is None else raw
        self._find_secrets("", self.raw)

    def report(self, code: str, key: str, what: str, fix: str = "") -> None:
        """Note a problem at dotted `key`."""
        # A file may have keys of any length; a problem is one line.
        key = key if len(key) <= MAX_KEY else f"{key[: MAX_KEY - 3]}..."
        self.problems.append(Problem(code, f"{self.path}: {key}" if key else str(self.path), what, fix))

    def known(self, key: str, value: Mapping[str, Any], keys: Collection[str]) -> None:
        """Report each key of `value` that is not in `keys`, with the nearest one that is."""
        for name in value:
            if name not in keys:
                self._unknown(_join(key, name), name, keys)

    def section(self, key: str, value: object, model: type[M]) -> M | None:
        """`value` as a `model`. None when it cannot be read at all; its problems are noted either way."""
        if not isinstance(value, Mapping):
            self.report("CONFIG_TYPE", key, "must be a table", f"write [{key}] above its keys")
            return None
        data = _copy(value)
        noted: dict[tuple[Any, ...], str] = {}
        while True:
            try:
                return model.model_validate(data)
            except ValidationError as invalid:
                if not self._note(key, model, data, invalid, noted):
                    return None

    def tables(self, key: str) -> dict[str, Any]:
        """The sub-tables `[key.NAME]` of the file; empty, and noted, when `key` is something else."""
        value = self.raw.get(key, {})
        if isinstance(value, dict):
            return value
        self.report("CONFIG_TYPE", key, "must be a table", f"write [{key}.NAME]")
        return {}

    def existing(self, key: str, relative: str) -> None:
        """Note a path, relative to this file, at which there is nothing."""
        try:
            exists = (self.path.parent / relative).exists()
        except (OSError, ValueError):
            exists = False
        if not exists:
            self.report("CONFIG_PATH", key, "does not exist", "give a path relative to this file")

    def finish(self) -> None:
        """Raise ConfigError if anything was noted."""
        if (rest := len(self.problems) - MAX_PROBLEMS) > 0:
            more = Problem("MORE_PROBLEMS", str(self.path), f"{rest} more problems", "mend these first")
            self.problems[MAX_PROBLEMS:] = [more]
        if self.problems:
            raise ConfigError(self.problems)

    def _load(self) -> dict[str, Any]:
        path = self.path
        try:
            if not path.is_file():
                what = "is not a file" if path.exists() else "does not exist"
                raise ConfigError(Problem("CONFIG_FILE", str(path), what, "give the path of a TOML file"))
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(Problem("CONFIG_FILE", str(path), f"cannot be read ({error.strerror})")) from None
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(Problem("CONFIG_FILE", str(path), f"is larger than {MAX_FILE_BYTES} bytes"))
        try:
            return tomllib.loads(data.decode("utf-8").removeprefix("\ufeff"))
        except UnicodeDecodeError:
            raise ConfigError(Problem("CONFIG_ENCODING", str(path), "is not UTF-8", "save it as UTF-8")) from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(_syntax_problem(path, str(error))) from None
        except RecursionError:
            raise ConfigError(Problem("CONFIG_TOML", str(path), "is nested too deeply")) from None
        except ValueError:
            raise ConfigError(Problem("CONFIG_TOML", str(path), "holds a number too long to be one")) from None

    def _note(
        self,
        key: str,
        model: type[BaseModel],
        data: dict[str, Any],
        invalid: ValidationError,
        noted: dict[tuple[Any, ...], str],
    ) -> bool:
        """Note what is new in `invalid` and cut it out of `data`; False when nothing could be cut."""
        cut = False
        # A key cut out for its value may make a conflict in its section that the file does not have.
        values = [found for found, kind in noted.items() if kind != "extra_forbidden"]
        for error in invalid.errors(include_url=False, include_input=False, include_context=False):
            where, kind = error["loc"], error["type"]
            if where not in noted and not any(found[: len(where)] == where for found in values):
                noted[where] = kind
                self._note_one(_join(key, *map(str, where)), model, where, kind, error["msg"])
            cut |= kind != "missing" and _remove(data, where)
        return cut

    def _note_one(self, dotted: str, model: type[BaseModel], where: tuple[Any, ...], kind: str, message: str) -> None:
        if kind == "extra_forbidden":
            self._unknown(dotted, str(where[-1]), _keys_at(model, where[:-1]))
        elif kind == "missing":
            self.report("CONFIG_MISSING_KEY", dotted, "is missing", "add it")
        elif kind.startswith("CONFIG_"):
            what, _, fix = message.partition(" -> ")
            self.report(kind, dotted, what, fix)
        elif kind.endswith(("_type", "_parsing")) or kind in ("int_from_float", "finite_number"):
            self.report("CONFIG_TYPE", dotted, _lower(message))
        else:
            self.report("CONFIG_VALUE", dotted, _lower(message))

    def _unknown(self, dotted: str, name: str, keys: Collection[str]) -> None:
        close = nearest(name, keys)
        fix = f"did you mean {close!r}?" if close else f"known keys: {', '.join(sorted(keys)) or 'none'}"
        self.report("CONFIG_UNKNOWN_KEY", dotted, "unknown key", fix)

    def _find_secrets(self, key: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                self._find_secrets(_join(key, name), inner)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self._find_secrets(_join(key, str(index)), inner)
        elif isinstance(value, str):
            # `password_file = "..."` is the way it should be: a path or a variable's name, not the secret.
            name = key.rpartition(".")[2].lower()
            named = SECRET_KEYS.search(name) and not name.endswith(("_file", "_path", "_env"))
            if named or _PEM.search(value) or _URL_PASSWORD.search(value):
                self.report("CONFIG_SECRET", key, "holds a secret", "put it in a file of mode 0600 and give its path")


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that `name` most likely means, if any is close."""
    lowered = {k.lower(): k for k in sorted(known)}
    found = difflib.get_close_matches(name.lower().replace("-", "_"), lowered, n=1, cutoff=0.5)
    return lowered[found[0]] if found else None


def dump(tables: Mapping[str, Any]) -> str:
    """`tables` as TOML: tables of texts, numbers, flags, lists of those, and further tables. None is left out."""
    return "".join(_dump_table((name,), table) for name, table in tables.items())


def _dump_table(name: tuple[str, ...], table: Mapping[str, Any]) -> str:
    values = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    lines = [
        f"[{'.'.join(map(_dump_value, name))}]",
        *(f"{_dump_value(k)} = {_dump_value(v)}" for k, v in values.items()),
    ]
    inner = [_dump_table((*name, key), value) for key, value in table.items() if isinstance(value, Mapping)]
    return "\n".join(lines) + "\n" + "".join(inner)


def _dump_value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_dump_value, value))}]"
    if isinstance(value, str):
        # JSON's text is TOML's basic string but for the one control character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)


def _syntax_problem(path: Path, message: str) -> Problem:
    duplicate = "overwrite" in message.lower() or "twice" in message.lower() or "redefine" in message.lower()
    code = "CONFIG_DUPLICATE_KEY" if duplicate else "CONFIG_TOML"
    position = re.search(r"\(at ([^()]*)\)$", message)
    where = f"{path}: {position.group(1)}" if position else str(path)
    return Problem(code, where, "a key or table is given twice" if duplicate else "is not valid TOML", "")


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _remove(data: Any, where: tuple[Any, ...]) -> bool:
    """Delete the innermost existing thing on the path `where`; list entries take their whole list with them."""
    holder, last = None, None
    for part in where:
        if isinstance(data, dict) and part in data:
            holder, last, data = data, part, data[part]
        else:
            break
    if holder is None:
        return False
    del holder[last]
    return True


def _keys_at(model: type[BaseModel], where: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in where:
        current = _plain(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            fields = {field.alias or name: field for name, field in current.model_fields.items()}
            current = fields[part].annotation if part in fields else None
        elif typing.get_origin(current) in (dict, Mapping):
            current = typing.get_args(current)[1]
        elif typing.get_origin(current) in (tuple, list):
            current = typing.get_args(current)[0]
    current = _plain(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [field.alias or name for name, field in current.model_fields.items()]
    return []


def _plain(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [a for a in typing.get_args(annotation) if a is not type(None)]
        return inner[0] if inner else None
    return annotation
