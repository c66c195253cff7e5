"""The arithmetic of the Unified Social Credit Code (GB 32100-2015), for whole columns at once.

A code is 18 characters: registration authority (1), kind of entity (1), region (6), organisation (9), check (1). The
alphabet is 0-9 and A-Z without I, O, S, V, Z, so a character is a number in [0, 31). Pure numbers: what to do about
full-width or lower-case characters in a file is `fedcredit.tables.identifiers`.

Source: GB 32100-2015, 4.2 and annex A (check: ISO 7064-like, weights 3^(i-1) mod 31, modulus 31).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHABET", "BAD_CHARACTER", "BAD_CHECK", "LENGTH", "MODULUS", "VALID", "check_character", "codes", "faults"]

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
LENGTH = 18
MODULUS = 31
VALID, BAD_CHARACTER, BAD_CHECK = 0, 1, 2

_WEIGHTS = np.array([pow(3, i, MODULUS) for i in range(LENGTH - 1)], np.uint16)
_CHARACTERS = np.frombuffer(ALPHABET.encode(), np.uint8)
_NO_VALUE = 255
_VALUES = np.full(256, _NO_VALUE, np.uint8)
_VALUES[_CHARACTERS] = np.arange(MODULUS, dtype=np.uint8)
_CHUNK = 1 << 16  # rows at a time: the working set stays in the cache


def check_character(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The check characters of code bodies, as numbers.

    Shapes: values (n, 17); returns (n,). Range: values in [0, 31), and so is the result.
    Raises: ValueError on another shape, dtype or value.
    """
    if values.dtype != np.uint8 or values.ndim != 2 or values.shape[1] != LENGTH - 1:
        raise ValueError(f"check_character: got {values.shape} {values.dtype}, want (n, {LENGTH - 1}) uint8")
    if values.size and int(values.max()) >= MODULUS:
        raise ValueError(f"check_character: a value is not below {MODULUS}")
    out = np.empty(len(values), np.uint8)
    for start in range(0, len(values), _CHUNK):
        part = slice(start, start + _CHUNK)
        out[part] = _check(values[part])
    return out


def codes(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.bytes_]:
    """Whole codes from their first 17 characters, given as numbers in [0, 31).

    Shapes: values (n, 17) uint8; returns (n,) of dtype S18. Raises: ValueError as `check_character`.
    """
    text = np.empty((len(values), LENGTH), np.uint8)
    text[:, -1] = _CHARACTERS[check_character(values)]
    text[:, :-1] = _CHARACTERS[values]
    return text.view(f"S{LENGTH}").reshape(-1)


def faults(identifiers: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint8]:
    """What is wrong with each identifier: VALID, BAD_CHARACTER or BAD_CHECK.

    Shapes: identifiers (n,) of dtype S18 (a shorter one is zero-padded, hence a BAD_CHARACTER); returns (n,).
    Raises: ValueError on another shape or dtype.
    """
    if identifiers.ndim != 1 or identifiers.dtype != np.dtype(f"S{LENGTH}"):
        raise ValueError(f"faults: got {identifiers.shape} {identifiers.dtype}, want (n,) S{LENGTH}")
    text = np.ascontiguousarray(identifiers).view(np.uint8).reshape(-1, LENGTH)
    out = np.empty(len(text), np.uint8)
    for start in range(0, len(text), _CHUNK):
        part = slice(start, start + _CHUNK)
        values = _VALUES[text[part]]
        wrong = np.where(_check(values[:, :-1]) == values[:, -1], VALID, BAD_CHECK)
        out[part] = np.where((values == _NO_VALUE).any(axis=1), BAD_CHARACTER, wrong)
    return out


def _check(values: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    # At most 17 * 30 * 255 < 2^17 even for characters outside the alphabet, so 32 bits hold the sum.
    total = values @ _WEIGHTS.astype(np.uint32)
    return (MODULUS - total % MODULUS) % MODULUS
