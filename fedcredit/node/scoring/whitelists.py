"""Lists of enterprises of good standing from one institution to another, sealed from key to key.

An enterprise is on a recipient's list where its own consent says so: it names the recipient as requester, this party as
provider, the model, the purpose and the region, and was not revoked. Whoever hands the file on reads the header alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives import hashes

from fedcredit.crypto.elgamal_checks import BadKey
from fedcredit.crypto.sealed import SEAL_BYTES, Seal
from fedcredit.crypto.zero_sum import Member
from fedcredit.errors import ConfigError, PeerError, Problem
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.scoring.keys import KeyWord, read_words, write_words
from fedcredit.governance.scoring.whitelist import Listed, ListHeader, ListRule, Whitelist, split
from fedcredit.ids import PartyId
from fedcredit.node.scoring.consents import ConsentedRows, consent_hashes
from fedcredit.node.scoring.own_keys import OwnKeys, OwnScoreKeys
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.watching.score_files import FileScore
from fedcredit.transport.trust import Trust
from fedcredit.wire.score import MAX_CODE_BYTES

__all__ = ["Candidate", "Maker", "believed_word", "open_list", "own_word"]

_STEP = "whitelist"
_PLACE = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enterprise that may be listed, with a consent of its. `industry`: by the own table; empty for none."""

    subject: str
    consent: str = field(repr=False)
    industry: str = ""


def own_word(keys: OwnKeys, signing: SigningIdentity) -> bytes:
    """What a party gives to those who are to seal for it: its newest keys, signed."""
    return write_words([keys.newest.signed(signing)])


def believed_word(data: bytes, signing: SigningIdentity, now: int) -> KeyWord:
    """The word of a recipient, or of a sender, by its own signature and the pins here.

    Raises: PeerError (KEY_INVALID, SIGNER_INVALID, SIGNATURE_INVALID; KEY_EXPIRED where it does not hold at `now`).
    """
    nobody = PartyId("unknown")
    (signed, *more) = read_words(data, nobody)
    word = signed.believed(signing.verify, nobody)
    if more:
        raise PeerError(word.party, _STEP, "sent several words on keys", "KEY_INVALID")
    if not word.covers(now):
        raise PeerError(word.party, _STEP, "has keys that do not hold at that time", "KEY_EXPIRED")
    return word


@dataclass(frozen=True, slots=True, kw_only=True)
class Maker:
    """Makes lists by one rule from scores of one version. `premises`: what is known of consents here, as a provider."""

    signing: SigningIdentity
    trust: Trust = field(repr=False)
    keys: OwnKeys = field(repr=False)
    premises: Premises = field(repr=False)
    log_key: bytes = field(repr=False)
    model: str
    version: int
    purpose: str
    now: int

    def entitled(self, recipient: PartyId, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those whose consent lets `recipient` have word of them from here. Raises: PeerError, ConfigError."""
        codes = np.zeros((len(candidates), MAX_CODE_BYTES), np.uint8)
        for row, one in enumerate(candidates):
            code = one.subject.encode()
            codes[row, : len(code)] = np.frombuffer(code, np.uint8)
        authorities = self.trust.pin(recipient).authorities
        consented = ConsentedRows(
            requester=recipient,
            authorities=frozenset(certificate.fingerprint(hashes.SHA256()) for certificate in authorities),
            model=self.model,
            purpose=self.purpose,
            premises=self.premises,
            key=self.log_key,
        )
        tokens = [one.consent for one in candidates]
        known = np.ones(len(candidates), np.bool_)
        rows = consented.rows(codes, tokens, consent_hashes(tokens), known, self.now)
        return [one for one, row in zip(candidates, rows, strict=True) if row.max_uses > 0]

    def listed(
        self, recipient: PartyId, rule: ListRule, candidates: Sequence[Candidate], scores: Mapping[str, FileScore]
    ) -> Whitelist:
        """The list of a recipient, by code. Raises: as `entitled`."""
        good = [
            one
            for one in candidates
            if one.subject in scores and rule.takes(one.subject, scores[one.subject].band, one.industry)
        ]
        found = {one.subject: Listed(one.subject, one.industry) for one in self.entitled(recipient, good)}
        return Whitelist(rule, tuple(found[subject] for subject in sorted(found)))

    def sealed(self, word: KeyWord, whitelist: Whitelist) -> bytes:
        """The list as a file that only the party of `word` can read."""
        own = self.keys.newest
        header = ListHeader(
            sender=self.signing.me,
            recipient=word.party,
            model=self.model,
            version=self.version,
            made=self.now,
            key=word.pair,
            nonce=secrets.token_bytes(32),  # a file has a key of its own
            words=own_word(self.keys, self.signing),
        )
        seal = _seal(header, own.word.pair, own)
        return header.to_bytes() + b"\n" + seal.seal(_PLACE, whitelist.to_bytes())


def open_list(data: bytes, keys: Sequence[OwnScoreKeys], signing: SigningIdentity) -> tuple[ListHeader, Whitelist]:
    """A list that was sealed for this party, and from whom it comes, by that party's signature on its key.

    Raises: PeerError (WHITELIST_INVALID, KEY_*, SIGN*, SEAL_INVALID); ConfigError (WHITELIST_KEY) where it is for
    another party, or for a key that is not kept any more.
    """
    nobody = PartyId("unknown")
    header, sealed = split(data, nobody)
    own = next((one for one in keys if one.word.pair == header.key), None)
    if header.recipient != signing.me or own is None:
        what = f"is for {header.recipient}, and for a key of its that is not here"
        fix = "give it to that party, or have it sealed anew: fedcredit whitelist key"
        raise ConfigError(Problem("WHITELIST_KEY", "list", what, fix))
    word = believed_word(header.words, signing, header.made)
    if word.party != header.sender:
        raise PeerError(word.party, _STEP, "shows its keys in another's name", "KEY_INVALID")
    if len(sealed) <= SEAL_BYTES:
        raise PeerError(header.sender, _STEP, "is no sealed list of this form", "WHITELIST_INVALID")
    content = _seal(header, word.pair, own).open(_PLACE, sealed, _STEP)
    return header, Whitelist.parse(content, header.sender)


def _seal(header: ListHeader, sender_key: bytes, own: OwnScoreKeys) -> Seal:
    sender, recipient = Member(header.sender, sender_key), Member(header.recipient, header.key)
    try:
        return Seal(sender, recipient, own.pair, header.context)
    except BadKey:
        raise PeerError(header.sender, _STEP, "uses a key that is none", "KEY_INVALID") from None
