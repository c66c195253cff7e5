"""What a peer makes of a head that it is shown, and the file in which a party keeps what its peers have signed. Pure.

A witness keeps, of each log, the last head that it has signed. The next one has to have the same entries and more. One
that has not is a fork, or a log that was cut short or rewritten: two heads of one size with two roots convict their
signer before anybody; of other sizes, unless the signer can prove that one log continues the other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from fedcredit.governance.audit import VERIFY_LOG, AuditBroken, Head, SignedHead, origin_of
from fedcredit.governance.merkle import ProofInvalid, verify_consistency
from fedcredit.ids import PartyId

__all__ = ["MAX_FILE_BYTES", "Judgement", "Verdict", "Witnessed", "WitnessedHeads", "judge", "log_of"]

MAX_FILE_BYTES = 1 << 20
"""A thousand witnesses, each with a head of its own."""

_SIGNATURE_BYTES = 64
_MAX_SIZE = 2**63 - 1


class Verdict(StrEnum):
    """What becomes of a head that is shown."""

    KEEP = "keep"  # it follows: keep it, then sign it
    SAME = "same"  # it is the one kept: sign it again
    PROVE = "prove"  # it may follow; the proof is from another head than the one kept
    FORK = "fork"  # it does not follow


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict; of a fork, `how` it does not follow: `two_roots`, `shorter` or `rewritten`."""

    verdict: Verdict
    how: str = ""


def judge(kept: Head | None, shown: Head, since: int, path: Sequence[bytes]) -> Judgement:
    """What becomes of `shown`, whose signature and origin were checked, beside the last head `kept` of that log.

    `path` is the proof from its owner's head of size `since`.
    """
    if kept is None:
        return Judgement(Verdict.KEEP)  # the first one is believed: from here on there is something to compare with
    if shown.size == kept.size:
        return Judgement(Verdict.SAME) if shown.root == kept.root else Judgement(Verdict.FORK, "two_roots")
    if shown.size < kept.size:
        return Judgement(Verdict.FORK, "shorter")
    if kept.size == 0:
        return Judgement(Verdict.KEEP)  # everything continues an empty log, and no proof says so
    if since != kept.size:
        return Judgement(Verdict.PROVE)
    try:
        verify_consistency(kept.size, kept.root, shown.size, shown.root, path)
    except ProofInvalid:
        return Judgement(Verdict.FORK, "rewritten")
    return Judgement(Verdict.KEEP)


def log_of(signed: SignedHead, party: PartyId) -> str:
    """Which of `party`'s logs a head is of, by its origin. Raises: AuditBroken (AUDIT_HEAD) if of none of them."""
    for log in ("", VERIFY_LOG):
        if signed.head.origin == origin_of(party, log) and 0 <= signed.head.size <= _MAX_SIZE:
            return log
    raise AuditBroken("AUDIT_HEAD", "audit head", "is not of a log of the party that shows it")


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A signed head, and the signatures of its witnesses over the same lines, by their names."""

    signed: SignedHead
    by: tuple[tuple[str, bytes], ...] = field(repr=False)

    def encode(self) -> bytes:
        """The head as in a `checkpoint`, and a line in the same form for each witness."""
        lines = [f"\N{EM DASH} {name} {base64.b64encode(signature).decode()}\n" for name, signature in self.by]
        return self.signed.encode() + "".join(lines).encode()

    @classmethod
    def decode(cls, data: bytes) -> Witnessed:
        """Exactly what `encode` writes. Nothing is verified yet. Raises: AuditBroken (AUDIT_WITNESS)."""
        problem = AuditBroken("AUDIT_WITNESS", "witnessed heads", "cannot be read")
        lines = data.decode(errors="replace").split("\n")
        try:
            signed = SignedHead.decode("\n".join([*lines[:5], ""]).encode())
            by = tuple(_witness(line) for line in lines[5:-1])
        except (ValueError, binascii.Error, AuditBroken):
            raise problem from None
        found = cls(signed, by)
        if found.encode() != data or not by or list(by) != sorted(dict(by).items()):
            raise problem
        return found


@dataclass(frozen=True, slots=True)
class WitnessedHeads:
    """Of one log, the last head that each witness has signed; newest first."""

    heads: tuple[Witnessed, ...] = ()

    def of(self, witness: str) -> Witnessed | None:
        """The last head that `witness` has signed."""
        return next((one for one in self.heads if witness in dict(one.by)), None)

    @property
    def witnesses(self) -> tuple[str, ...]:
        """All their names, in order."""
        return tuple(sorted(name for one in self.heads for name, _ in one.by))

    def signed_by(self, witness: str, signed: SignedHead, signature: bytes) -> WitnessedHeads:
        """With `witness`'s signature of a head, in place of the one before."""
        found = {(one.signed.head.size, one.signed.head.root): one for one in self._without(witness)}
        key = signed.head.size, signed.head.root
        before = found[key].by if key in found else ()
        # The party's own signature is the newest one: a key that was renewed signs the same lines otherwise.
        found[key] = Witnessed(signed, tuple(sorted((*before, (witness, signature)))))
        return WitnessedHeads(tuple(found[key] for key in sorted(found, reverse=True)))

    def encode(self) -> bytes:
        """All of them, an empty line between two."""
        return b"\n".join(one.encode() for one in self.heads)

    @classmethod
    def decode(cls, data: bytes) -> WitnessedHeads:
        """Exactly what `encode` writes. Nothing is verified yet. Raises: AuditBroken (AUDIT_WITNESS)."""
        problem = AuditBroken("AUDIT_WITNESS", "witnessed heads", "cannot be read")
        if len(data) > MAX_FILE_BYTES:
            raise problem
        parts = data.split(b"\n\n") if data else []
        if len(parts) % 2:
            raise problem
        pairs = list(zip(parts[::2], parts[1::2], strict=True))
        # Between two heads, the last line's end is the first half of what they were split at.
        heads = tuple(
            Witnessed.decode(body + b"\n\n" + lines + (b"\n" if number < len(pairs) else b""))
            for number, (body, lines) in enumerate(pairs, 1)
        )
        found = cls(heads)
        keys = [(one.signed.head.size, one.signed.head.root) for one in heads]
        ordered = keys == sorted(set(keys), reverse=True) and len(set(found.witnesses)) == len(found.witnesses)
        if not ordered or found.encode() != data:
            raise problem
        return found

    def _without(self, witness: str) -> Iterator[Witnessed]:
        for one in self.heads:
            left = tuple(entry for entry in one.by if entry[0] != witness)
            if left:
                yield replace(one, by=left)


def _witness(line: str) -> tuple[str, bytes]:
    _, name, encoded = line.split(" ")
    signature = base64.b64decode(encoded, validate=True)
    if len(signature) != _SIGNATURE_BYTES or not name:
        raise ValueError("no signature")
    return name, signature
