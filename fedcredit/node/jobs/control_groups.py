"""What the control groups of this process leave of memory: version 2, and version 1, which older systems still have."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["group_room", "read_text"]


@dataclass(frozen=True, slots=True)
class _Version:
    """Where a version keeps its groups, how /proc names ours, and its files."""

    top: str
    mine: str
    limit: str
    used: str
    dropped: str


_VERSIONS: Final = (
    _Version("sys/fs/cgroup", r"^0::(/.*)$", "memory.max", "memory.current", "inactive_file"),
    _Version(
        "sys/fs/cgroup/memory",
        r"^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(/.*)$",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def group_room(root: Path = Path("/")) -> Iterator[int]:
    """Bytes that each control group with a limit leaves to this process, from its own up to the topmost.

    In a container the topmost is the container's own, and ours may not be there: it is named as the host sees it.
    """
    named = read_text(root / "proc/self/cgroup")
    for version in _VERSIONS:
        top, mine = root / version.top, re.search(version.mine, named, re.MULTILINE)
        group = top if mine is None else top / mine[1].strip("/")
        while group == top or top in group.parents:
            yield from _left(group, version)
            group = group.parent


def _left(group: Path, version: _Version) -> Iterator[int]:
    """Pages of files that the kernel can drop do not count as used."""
    with contextlib.suppress(ValueError):  # "max", or no such file
        limit, used = int(read_text(group / version.limit)), int(read_text(group / version.used))
        dropped = re.search(rf"^{version.dropped} (\d+)$", read_text(group / "memory.stat"), re.MULTILINE)
        yield max(0, limit - used + (0 if dropped is None else int(dropped[1])))


def read_text(path: Path) -> str:
    """The text of a file of the kernel's; empty where there is none."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
