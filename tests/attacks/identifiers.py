"""Row 7: identifiers outside the intersection, by dictionary.

Unified social credit codes are few enough to be hashed all. The adversary is either party of an intersection; it has a
list of candidates, half of them the other's, none its own, and looks on the wire for anything that it can compute from
a candidate: the code itself, hashes with and without what is public of the session, points, and what the protocol's own
functions make of it with the adversary's own secrets. A guess is right for half of the candidates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from attacks.measures import Finding
from attacks.views import Call, View, noting, recorded

from fedcredit.crypto import oprf
from fedcredit.crypto.randomness import insecure_seeded
from fedcredit.ids import party_id
from fedcredit.kernels import digest, group, okvs
from fedcredit.kernels import filter as compact
from fedcredit.protocols.intersect import (
    IntersectHolder,
    IntersectReceiver,
    UnbalancedHolder,
    UnbalancedReceiver,
    vole_oprf,
)
from fedcredit.protocols.intersect.alignment import item_digests, mask_bytes
from fedcredit.protocols.intersect.filters import FilterKey, SharedFilter, items_for
from fedcredit.uscc import codes
from fedcredit.wire import intersect as wire

__all__ = ["BANK", "MODES", "TAX", "Town", "dictionary", "found_by_protocol", "secrets_of"]

MODES = ("ecdh", "fast", "unbalanced")
BANK, TAX = party_id("bank"), party_id("tax")
SSID = bytes(range(32))
WINDOW = 6
"""Bytes of a hash that have to stand on the wire: of all that is tried here, one by chance with probability 2^-14."""


class Town:
    """Enterprises of one region, a quarter at the bank alone, at the tax office alone, at both, at neither."""

    def __init__(self, n: int, mode: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 31, (n, 17)).astype(np.uint8)
        values[:, :8] = [9, 1, 4, 2, 0, 1, 0, 2]
        everybody = np.unique(codes(values))
        everybody = everybody[rng.permutation(everybody.size)]
        self.only_bank, self.only_tax, self.both, self.neither = np.array_split(everybody, 4)
        self.bank = np.concatenate([self.only_bank, self.both])
        self.tax = np.concatenate([self.only_tax, self.both])
        self.mode = mode
        if mode == "unbalanced":
            self.key = FilterKey.generate(BANK, TAX, insecure_seeded(seed, "filter"))
            self.filter = SharedFilter.of(self.key.name, 1, self.key.values(self.tax, len(self.tax)))
            receiver: Any = UnbalancedReceiver
            roles: Any = {
                BANK: lambda: receiver(
                    BANK, TAX, self.bank, insecure_seeded(seed, "bank"), len(self.bank), len(self.tax)
                ).steps(),
                TAX: lambda: UnbalancedHolder(TAX, BANK, len(self.bank)).steps(self.key, self.filter),
            }
        else:
            how: Any = {"mode": mode}
            roles = {
                BANK: lambda: IntersectReceiver(
                    BANK, (TAX,), SSID, self.bank, insecure_seeded(seed, "bank"), **how
                ).steps(),
                TAX: lambda: IntersectHolder(
                    TAX, BANK, (), SSID, self.tax, insecure_seeded(seed, "tax"), **how
                ).steps(),
            }
        self.view, self.outcome = recorded(roles)

    def items(self, ids: Any) -> Any:
        """What the protocol makes of identifiers before anything secret comes in: anybody can."""
        if self.mode == "unbalanced":
            return items_for(ids, self.key.name, BANK, TAX, len(ids))
        return item_digests(ids, SSID, len(ids))


def dictionary(town: Town, adversary: str) -> Finding:
    """Which candidates does the adversary find to be the other party's?"""
    me, theirs = (BANK, town.only_tax) if adversary == "receiver" else (TAX, town.only_bank)
    candidates = np.concatenate([theirs, town.neither])
    member = np.arange(len(candidates)) < len(theirs)
    view = town.view[me]
    found = _on_the_wire(town, candidates, view.bodies) | found_by_protocol(town, candidates, view)
    # A view that leaks: the other's items as they are before anything secret comes in, as in a salted hash.
    leaky = _on_the_wire(town, candidates, [*view.bodies, town.items(theirs).tobytes()])
    return Finding(
        7,
        "identifiers outside the intersection",
        adversary,
        f"intersect, {town.mode}",
        "dictionary",
        "balanced accuracy",
        len(candidates),
        0.5,
        _balanced(member, found),
        _balanced(member, leaky),
    )


def secrets_of(view: View) -> set[bytes]:
    """The keys and blinds of one party's run."""
    kinds = (oprf.OprfKey, oprf.OprfBlind)
    with noting(*((kind, "generate") for kind in kinds)) as calls:
        view.replay()
    return {call.result._scalar for call in calls}


def _balanced(member: Any, found: Any) -> float:
    return float(0.5 + (found[member].mean() - found[~member].mean()) / 2)


def _on_the_wire(town: Town, candidates: Any, bodies: Iterable[bytes]) -> Any:
    """Whether anything public that is made of a candidate stands anywhere in what was received."""
    windows: set[bytes] = set()
    for body in bodies:
        windows.update(body[at : at + WINDOW] for at in range(len(body) - WINDOW + 1))
    items = town.items(candidates)
    rows = [items, group.hash_to_group(items)]
    for ids in (candidates, np.array([c[2:] for c in candidates.tolist()])):
        raw = [bytes(c) for c in ids.tolist()]
        texts = [raw, [SSID + c for c in raw], [c + SSID for c in raw]]
        hashes = (hashlib.sha256, hashlib.sha1, hashlib.md5, hashlib.sha512, hashlib.blake2b)
        rows += [_rows(h(t).digest()[:16] for t in of) for of in texts for h in hashes]
        rows += [_rows(digest.blake3(t)[:16] for t in of) for of in texts]
        rows += [_rows(c[-16:] for c in raw)]
    found = np.zeros(len(candidates), bool)
    for block in rows:
        found |= [row[:WINDOW].tobytes() in windows for row in block]
    return found


def _rows(parts: Iterable[bytes]) -> Any:
    return np.stack([np.frombuffer(part, np.uint8) for part in parts])


def found_by_protocol(town: Town, candidates: Any, view: View, stolen: set[bytes] | None = None) -> Any:
    """What the protocol's own functions say of each candidate, with the secrets that the adversary has.

    `stolen` are keys of the other party: with them the dictionary works.
    """
    with noting(
        (oprf.OprfKey, "blind_evaluate"), (oprf.OprfBlind, "finalize"), (vole_oprf, "_function"), (okvs, "decode_xor")
    ) as calls:
        view.replay()
    items = town.items(candidates)
    if town.mode == "fast":
        return _fast(town, items, view, calls)
    points = group.hash_to_group(items)
    seen: set[bytes] = set()
    for kind in (wire.BlindedItems, wire.EvaluatedItems):
        seen.update(row.tobytes() for m in view.of(kind) for row in m.points)
    own = {call.args[0]._scalar for call in calls if isinstance(call.args[0], oprf.OprfKey | oprf.OprfBlind)}
    secrets = own | (stolen or set())
    tried = [points, *(group.multiply(points, secret) for secret in secrets)]
    found = np.zeros(len(items), bool)
    for rows in tried:
        found |= [row.tobytes() in seen for row in rows]
    return found | _stored(town, items, view, secrets)


def _stored(town: Town, items: Any, view: View, secrets: set[bytes]) -> Any:
    """Does the store or the filter that the receiver has give a candidate's value under a key that it knows?"""
    found = np.zeros(len(items), bool)
    guessed = [items, *(group.oprf_evaluate(items, secret, width=compact.VALUE_BYTES) for secret in secrets)]
    if town.mode == "unbalanced" and view.me == BANK:
        label = town.filter.label
        for values in guessed:
            found |= compact.contains(town.filter.content, label.entries, label.bits, np.ascontiguousarray(values))
    if slots := view.of(wire.StoreSlots):
        (seed,) = view.of(wire.StoreSeed)
        stored = np.zeros((len(items), okvs.VALUE_BYTES), np.uint8)
        store = np.concatenate([m.slots for m in slots])
        okvs.decode_xor(store, len(town.tax), items, seed.seed, stored)
        for values in [*guessed, np.zeros_like(items)]:
            found |= (stored == values).all(axis=1)
    return found


def _fast(town: Town, items: Any, view: View, calls: list[Call]) -> Any:
    """The receiver asks its half of the function about items that it has not encoded; the holder reads the blinded
    store at items, as it came and under its own secret."""
    width = mask_bytes(len(town.bank), len(town.tax))
    reads = [call.args for call in calls if call.name == "decode_xor"]
    vector, n, _, seed, _ = reads[0]
    values = np.zeros((len(items), okvs.VALUE_BYTES), np.uint8)
    if view.me == BANK:
        okvs.decode_xor(vector, n, items, seed, values)
        masks = {row.tobytes() for m in view.of(wire.ItemMasks) for row in m.masks}
        mine = vole_oprf._function(SSID, BANK, TAX, values, items, width)
        return np.array([row.tobytes() in masks for row in mine])
    store = np.concatenate([m.slots for m in view.of(wire.BlindedSlots)])
    okvs.decode_xor(store, n, items, seed, values)
    again = np.zeros_like(values)
    okvs.decode_xor(vector, n, items, seed, again)
    return (values == items).all(axis=1) | (again == items).all(axis=1) | (again == values).all(axis=1)
