"""A server's process: `python -m ... KIND FOLDER`. Says its port when it listens; ends when standard input does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from fedcredit.cli.benches.verification.grpcio_service import AioService, ThreadedService
from fedcredit.cli.benches.verification.native_service import NativeService
from fedcredit.cli.benches.verification.setting import Setting

__all__ = ["KINDS", "main"]


class Service(Protocol):
    """A server that listens."""

    port: int

    def stop(self) -> None:
        """Answer what was taken, and close."""


KINDS: Mapping[str, Callable[[Setting], Service]] = {
    "native": NativeService,
    "aio": AioService,
    "threads": ThreadedService,
}
"""What can be started, by name."""


def main() -> None:
    """Start a server and wait."""
    service = KINDS[sys.argv[1]](Setting.load(Path(sys.argv[2])))
    try:
        print(service.port, flush=True)
        sys.stdin.read()
    finally:
        service.stop()


if __name__ == "__main__":
    main()
