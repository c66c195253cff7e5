"""What the process asks of glibc's allocator."""

from __future__ import annotations

import subprocess
import sys

import pytest

ARENAS = """
import ctypes, sys, threading
from fedcredit.transport.heap import keep_frame_memory

if sys.argv[1] == "ours":
    keep_frame_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
together = threading.Barrier(8)

def use():
    together.wait()
    held = libc.malloc(1000)
    together.wait()
    libc.free(held)

threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fopen.restype = ctypes.c_void_p
stdout = ctypes.c_void_p(libc.fopen(b"/dev/stdout", b"w"))
libc.malloc_info(0, stdout)
libc.fclose(stdout)
"""


def arenas(whose: str) -> int:
    command = [sys.executable, "-c", ARENAS, whose]
    return subprocess.run(command, capture_output=True, check=True, timeout=300).stdout.count(b"<heap nr=")


def test_threads_share_two_arenas() -> None:
    if sys.platform != "linux" or not (default := arenas("default")):
        pytest.skip("the allocator is not glibc's")
    assert arenas("ours") <= 2 < default
