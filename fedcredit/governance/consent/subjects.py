"""Whom a consent is about: an enterprise by its code, or a person by the number of the identity card.

Source: GB 32100-2015 (unified social credit code, `fedcredit.uscc` for whole columns), GB 11643-1999 (17 digits and a
check character, ISO 7064 MOD 11-2).
"""

from __future__ import annotations

from operator import mul

from fedcredit.uscc import ALPHABET, LENGTH, MODULUS

__all__ = ["is_enterprise_code", "is_person_number", "is_sole_proprietor"]

_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_WEIGHTS = tuple(pow(3, place, MODULUS) for place in range(LENGTH - 1))
_PERSON_WEIGHTS = tuple(pow(2, LENGTH - 1 - place, 11) for place in range(LENGTH - 1))
_DIGITS = "0123456789"
_PERSON_CHECKS = "10X98765432"


def is_enterprise_code(text: str) -> bool:
    """Whether `text` is a unified social credit code in normal form, with its right check character."""
    if len(text) != LENGTH:
        return False
    try:
        *values, check = [_VALUES[character] for character in text]
    except KeyError:
        return False
    total: int = sum(map(mul, values, _WEIGHTS), check)
    return total % MODULUS == 0


def is_person_number(text: str) -> bool:
    """Whether `text` is the number of a resident identity card in normal form, with its right check character."""
    if len(text) != LENGTH or any(character not in _DIGITS for character in text[:-1]):
        return False
    total = sum(map(mul, map(int, text[:-1]), _PERSON_WEIGHTS))
    return _PERSON_CHECKS[total % 11] == text[-1]


def is_sole_proprietor(code: str) -> bool:
    """Whether the enterprise is a person's own business, whose data are personal information. (Codes 92...)"""
    return code.startswith("92")
