"""Where filters of private questions lie: apart from those of jobs, at who lends them and at who holds them."""

from __future__ import annotations

from pathlib import Path

__all__ = ["private_folder"]


def private_folder(node: Path) -> Path:
    """The folder, in a node's own; whoever puts something there makes it for its owner alone."""
    return node / "private"
