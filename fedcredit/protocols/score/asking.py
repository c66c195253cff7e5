"""How a bank asks: what a request says of whom it is about, the same for every kind of score.

No role of its own. Reveals: nothing. Assumes: BLAKE3 is collision resistant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.crypto.zero_sum import Member
from fedcredit.errors import DataError, Problem
from fedcredit.ids import PartyId
from fedcredit.protocols.effects import Steps, send
from fedcredit.protocols.score.binding import chunks, consents_digest, has_repeat, subjects_digest
from fedcredit.wire.score import (
    CONSENT_BYTES,
    HASH_BYTES,
    MAX_CODE_BYTES,
    MAX_SUBJECTS,
    ScoreRequest,
    ScoreSubjects,
)

__all__ = ["ask", "check_subjects", "request_of"]

U8: TypeAlias = npt.NDArray[np.uint8]


def check_subjects(codes: U8, consents: U8) -> None:
    """Raise DataError (SET_EMPTY, SET_SIZE, ID_DUPLICATE) or ValueError unless these are subjects to ask for.

    Shapes: codes (n, w), w to 32; consents (k, n, 32).
    """
    if codes.dtype != np.uint8 or codes.ndim != 2 or not 1 <= codes.shape[1] <= MAX_CODE_BYTES:
        raise ValueError(f"scores: codes are {codes.shape} {codes.dtype}")
    n = len(codes)
    if n == 0:
        raise DataError(Problem("SET_EMPTY", "subjects", "there is none", "name one at least"))
    if n > MAX_SUBJECTS:
        raise DataError(Problem("SET_SIZE", "subjects", f"{n} of them", f"ask for {MAX_SUBJECTS} at once at most"))
    if consents.dtype != np.uint8 or consents.ndim != 3 or consents.shape[1:] != (n, CONSENT_BYTES):
        raise ValueError(f"scores: consents of {n} subjects are {consents.shape} {consents.dtype}")
    if has_repeat(codes):
        raise DataError(Problem("ID_DUPLICATE", "subjects", "one of them is there twice", "name each once"))


def request_of(
    bank: Member,
    providers: Sequence[Member],
    codes: U8,
    consents: U8,
    *,
    purpose: str,
    issued_at: int,
    model: bytes,
    key: bytes,
    nonce: bytes,
) -> ScoreRequest:
    """The request for scores of these subjects. `key`: the fingerprint of the one that answers are to be under."""
    if len(consents) != len(providers):
        raise ValueError(f"scores: consents for {len(consents)} of {len(providers)} providers")
    keys = b"".join(member.public for member in (bank, *providers))
    grounds = b"".join(consents_digest(each) for each in consents)
    return ScoreRequest(
        requester=bank.name,
        purpose=purpose,
        model=model,
        key=key,
        nonce=nonce,
        issued_at=issued_at,
        rows=len(codes),
        providers="\n".join(provider.name for provider in providers),
        pair_keys=np.frombuffer(keys, np.uint8).reshape(len(providers) + 1, -1),
        subjects=subjects_digest(codes),
        consents=np.frombuffer(grounds, np.uint8).reshape(-1, HASH_BYTES),
    )


def ask(provider: PartyId, request: ScoreRequest, codes: U8, consents: U8) -> Steps[None]:
    """Send a provider the request and its subjects. Shapes: codes (n, w); consents (n, 32)."""
    yield from send(provider, request)
    for rows in chunks(len(codes)):
        yield from send(provider, ScoreSubjects(rows.start, codes[rows], consents[rows]))
