"""The result of a job as a folder: it appears whole, by rename, with a manifest that the audit log has recorded.

Writing it again after a crash gives one whole folder, whatever the crash left behind.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from fedcredit import failpoints
from fedcredit.node.jobs.premises import pretty

__all__ = ["MANIFEST", "Listed", "discard_partial", "write_result"]

MANIFEST = "manifest.json"

Listed = list[tuple[str, bytes, int]]
"""Files of a result, the manifest last: relative path, SHA-256, size."""


def write_result(folder: Path, files: Mapping[str, bytes], release: Callable[[str, int], None]) -> Listed:
    """Write `files` as `folder/result` and give the list of them. `release(manifest, files)` records the release
    durably before anybody can see it.

    A result that is there already is whole and was released: it stays. Raises: OSError.
    """
    partial, final = folder / "result.partial", folder / "result"
    if final.exists():
        return _listed(final)
    discard_partial(folder)
    listed: Listed = []
    for name, data in sorted(files.items()):
        _write(partial / name, data)
        listed.append(_entry(name, data))
    manifest = pretty([{"path": name, "sha256": digest.hex(), "bytes": size} for name, digest, size in listed])
    _write(partial / MANIFEST, manifest)
    listed.append(_entry(MANIFEST, manifest))
    for path in (*(path for path in partial.rglob("*") if path.is_dir()), partial):
        _sync_folder(path)
    failpoints.hit("job.result.written", folder.name)
    release(hashlib.sha256(manifest).hexdigest(), len(files))
    failpoints.hit("job.result.recorded", folder.name)
    partial.rename(final)
    _sync_folder(folder)
    failpoints.hit("job.result.renamed", folder.name)
    return listed


def discard_partial(folder: Path) -> None:
    """Remove a result that was not finished."""
    shutil.rmtree(folder / "result.partial", ignore_errors=True)


def _listed(final: Path) -> Listed:
    manifest = (final / MANIFEST).read_bytes()
    entries = json.loads(manifest)
    listed = [(entry["path"], bytes.fromhex(entry["sha256"]), entry["bytes"]) for entry in entries]
    return [*listed, _entry(MANIFEST, manifest)]


def _entry(name: str, data: bytes) -> tuple[str, bytes, int]:
    return name, hashlib.sha256(data).digest(), len(data)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
