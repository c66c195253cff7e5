"""The result of a job as a folder: it appears whole, by rename, with a manifest that the audit log has recorded.

Writing it again after a crash gives one whole folder, whatever the crash left behind.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from fedcredit import failpoints
from fedcredit.errors import FedcreditError, Problem
from fedcredit.node.durable_files import sync_folder, write_synced
from fedcredit.node.jobs.premises import pretty

__all__ = ["MANIFEST", "Content", "Listed", "discard_partial", "listed", "write_result"]

MANIFEST = "manifest.json"

Content = bytes | Iterable[bytes]
"""A file of a result, or the pieces of a large one, in turn."""

Listed = list[tuple[str, bytes, int]]
"""Files of a result, the manifest last: relative path, SHA-256, size."""


def write_result(folder: Path, files: Mapping[str, Content], release: Callable[[str, int], None]) -> Listed:
    """Write `files` as `folder/result` and give the list of them. `release(manifest, files)` records the release
    durably before anybody can see it.

    A result that is there already is whole and was released: it stays. Raises: OSError.
    """
    partial, final = folder / "result.partial", folder / "result"
    if final.exists():
        return listed(final)
    discard_partial(folder)
    made: Listed = []
    for name in sorted(files):
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        made.append(_written(partial / name, name, files[name]))
    manifest = pretty([{"path": name, "sha256": digest.hex(), "bytes": size} for name, digest, size in made])
    made.append(_written(partial / MANIFEST, MANIFEST, manifest))
    for path in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
        sync_folder(path)
    failpoints.hit("job.result.written", folder.name)
    release(hashlib.sha256(manifest).hexdigest(), len(files))
    failpoints.hit("job.result.recorded", folder.name)
    partial.rename(final)
    sync_folder(folder)
    failpoints.hit("job.result.renamed", folder.name)
    return made


def discard_partial(folder: Path) -> None:
    """Remove a result that was not finished."""
    shutil.rmtree(folder / "result.partial", ignore_errors=True)


def listed(final: Path) -> Listed:
    """What the manifest of a result names, and the manifest. Raises: FedcreditError (RESULT_DAMAGED), OSError."""
    manifest = (final / MANIFEST).read_bytes()
    try:
        entries = json.loads(manifest)
        found = [(str(entry["path"]), bytes.fromhex(entry["sha256"]), int(entry["bytes"])) for entry in entries]
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        what, fix = "cannot be read", "run the job again; `fedcredit node fsck` says what else is damaged"
        raise FedcreditError(Problem("RESULT_DAMAGED", f"{final.parent.name}/result/{MANIFEST}", what, fix)) from None
    return [*found, _entry(MANIFEST, manifest)]


def _written(path: Path, name: str, content: Content) -> tuple[str, bytes, int]:
    digest, size = hashlib.sha256(), 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in (content,) if isinstance(content, bytes) else content:
            digest.update(piece)
            size += len(piece)
            yield piece

    write_synced(path, counted())
    return name, digest.digest(), size


def _entry(name: str, data: bytes) -> tuple[str, bytes, int]:
    return name, hashlib.sha256(data).digest(), len(data)
