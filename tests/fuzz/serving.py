"""What the data plane of verification reads: index files, programs, snapshots, and consent tokens, natively."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from desk_town import BANK, NOW, STEEL, Town, authority, consent, program, question
from fuzz import mutate
from fuzz.engine import Target

from fedcredit.errors import DataError, Problem, RefusedError
from fedcredit.kernels import index
from fedcredit.kernels.desk import ConsentReader, Key
from fedcredit.kernels.digest import blake3

__all__ = ["serving"]

DIGEST, BODY = 96, 128


def serving(folder: Path) -> Iterator[Target]:
    """The targets; index files lie in `folder`."""
    town = Town(Path(tempfile.mkdtemp(dir=folder)))
    files = tuple(Path(path).read_bytes() for path in town.said["indexes"].values())
    yield Target("serving.index", files, _look, _sealed, share=0.5)
    opened = {item: index.Index(Path(path)) for item, path in town.said["indexes"].items()}
    programs = tuple(json.dumps(program(name)).encode() for name in ("months_at_least", "in_arrears", "unit_is"))

    def run(data: bytes) -> None:
        found = index.Program(_object(data), opened)
        found.answer([STEEL, "x"], parameters={"k": 6.0, "unit": "Unit 1"}, asof=NOW // 86_400)

    yield Target("serving.program", programs, run, mutate.json_text)
    desk, told = town.desk(), town.text().encode()

    def reload(data: bytes) -> None:
        desk.reload(_text(data))
        desk.rule(BANK, question(token=consent()), NOW * 1000)

    yield Target("serving.snapshot", (told,), reload, mutate.json_text, share=0.2)
    reader = ConsentReader([Key(authority()[1].public_key, "platform")])

    def read(data: bytes) -> None:
        why, _ = reader.read(_text(data))
        if why is not None:
            raise RefusedError(Problem(why.upper(), "token", "is refused"))

    yield Target("serving.token", (consent().encode(), consent(uses=1).encode()), read, mutate.text)


def _look(data: bytes) -> None:
    found = index.Index.of_bytes(data)
    about = found.about()
    found.count([STEEL, "x", ""])
    text = {"fund": "months_at_least", "water": "unit_is", "homes": "owns"}.get(about.item)
    if text is not None:
        asked: dict[str, Any] = {"k": 6.0, "unit": "Unit 1"}
        index.Program(program(text), {about.item: found}, ["unit"]).answer([STEEL, "x"], parameters=asked, asof=20_000)


def _sealed(rng: Random, data: bytes, pool: tuple[bytes, ...]) -> bytes:
    """Changed, and most often with the checksum put right, so that what is behind it is looked at."""
    changed = mutate.blind(rng, data, pool)
    if len(changed) < BODY or rng.random() < 0.2:
        return changed
    digest = blake3(changed[:DIGEST] + blake3(changed[BODY:]))
    return changed[:DIGEST] + digest + changed[BODY:]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DataError(Problem("NOT_TEXT", "input", "is no text")) from None


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("items", []), list):
        raise DataError(Problem("NOT_JSON", "input", "is no object"))
    if any(not isinstance(item, str) for item in found.get("items", [])):
        raise DataError(Problem("NOT_JSON", "input", "has items that are none"))
    return found
