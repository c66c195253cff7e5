"""The consents of a request for scores, at a provider: one a subject, each looked at as at a single question.

Subjects and consents stand in the store under the names that they have in the node's logs: a subject as a tag under the
log's key, a consent as the hash of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fedcredit.errors import PeerError
from fedcredit.governance.consent.bulk import read_many
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.decision import Allowed, Premises, Use, judge
from fedcredit.governance.consent.refusal import Why
from fedcredit.governance.consent.token import revocation_id
from fedcredit.governance.scoring.decisions import ScoreRow
from fedcredit.ids import PartyId
from fedcredit.node.verification.log_key import tag_of_code
from fedcredit.protocols.score.binding import STEP

__all__ = ["ConsentedRows", "consent_hashes"]

Bools: TypeAlias = npt.NDArray[np.bool_]
U8: TypeAlias = npt.NDArray[np.uint8]


def consent_hashes(tokens: Sequence[str]) -> U8:
    """What stands for each consent in a request: (n, 32)."""
    hashes = b"".join(hashlib.sha256(token.encode()).digest() for token in tokens)
    return np.frombuffer(hashes, np.uint8).reshape(len(tokens), 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentedRows:
    """Makes rows to decide on, of what `requester` asks for one model and purpose.

    `authorities`: the SHA-256 of each certificate that vouches for the requester; `key`: that of this node's log.
    """

    requester: PartyId
    authorities: frozenset[bytes] = field(repr=False)
    model: str
    purpose: str
    premises: Premises = field(repr=False)
    key: bytes = field(repr=False)

    def rows(self, codes: U8, tokens: Sequence[str], hashes: U8, known: Bools, now: int) -> list[ScoreRow]:
        """A row for each subject.

        Shapes: codes (n, w), padded with zeros; hashes (n, 32), those of the request; known (n,), who is in the table.
        Raises: PeerError (SCORE_SUBJECTS) where the tokens are not those of the request.
        """
        if len(tokens) != len(codes) or not np.array_equal(consent_hashes(tokens), hashes):
            raise PeerError(self.requester, STEP, "sent other consents than the request is for", "SCORE_SUBJECTS")
        subjects = [code.tobytes().rstrip(b"\0").decode("ascii", "replace") for code in codes]
        read = read_many(tokens, self.premises.issuers)
        return [
            self._row(subject, said, there, now)
            for subject, said, there in zip(subjects, read, known.tolist(), strict=True)
        ]

    def _row(self, subject: str, said: Consent | Why, known: bool, now: int) -> ScoreRow:
        # What is in the table is there in normal form; what is not has no score, whatever its tag.
        tag = tag_of_code(self.key, subject.encode())
        if isinstance(said, Why):
            return ScoreRow(subject=tag, consent=b"", known=known, why=said.lower())
        use = Use(
            requester=self.requester,
            # A consent is bound to one of them; what is bound to another is refused for that.
            authority=said.authority if said.authority in self.authorities else b"",
            subject=subject,
            predicate="",
            items=frozenset(),
            model=self.model,
            purpose=self.purpose,
            now=now,
        )
        found = judge(said, use, self.premises)
        name = bytes.fromhex(revocation_id(said.jti))
        if isinstance(found, Allowed):
            return ScoreRow(subject=tag, consent=name, known=known, max_uses=said.scope.max_uses)
        return ScoreRow(subject=tag, consent=name, known=known, why=found.why.lower())
