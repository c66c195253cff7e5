"""The keys with which the authority signs consents: made at its first start, followed by another whenever it says so.

A new key is told to all nodes first and signs a little later; the old one signs until then, and is believed as long as
the last consent it signed may hold. A key that is given up for good (`retire`) is believed no more from that moment,
and with it goes every consent that it signed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fedcredit import failpoints
from fedcredit.errors import ConfigError, Problem, UsageError
from fedcredit.governance.consent.claims import LEEWAY_S, MAX_LIFETIME_S
from fedcredit.governance.consent.issuers import Issuer, kid_of
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import create_file, sync_folder
from fedcredit.node.pki import private_pem, read_secret
from fedcredit.node.store import KeyRow, Store

__all__ = ["ANNOUNCE_S", "FAR", "IssuingKeys", "load_key", "new_key"]

ANNOUNCE_S = 120
"""Between telling of a key and signing with it: four times what a node lets pass between two looks."""

FAR = 1 << 52
"""The end of what has none yet."""

AUTHORITY = "authority"


class IssuingKeys:
    """The authority's own keys: private parts in `folder`, the rest in the store."""

    def __init__(self, folder: Path, me: PartyId, store: Store, now: Callable[[], int]) -> None:
        self._folder, self._me, self._store, self._now = folder, me, store, now

    def open(self) -> None:
        """See that there is a key to sign with; make the first one. Raises: ConfigError (KEY_MISSING, CONSENT_KEY)."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._own():
            # A start that was cut short may have left one that nobody has heard of.
            found = sorted(self._folder.glob("*.key"))
            self._add(load_key(found[0]) if found else self._make(), self._now())
        self.signer()
        self._tidy()

    def signer(self) -> tuple[Issuer, Ed25519PrivateKey]:
        """The key that signs now. Raises: ConfigError (KEY_MISSING, CONSENT_KEY)."""
        now = self._now()
        rows = [row for row in self._own() if row.signs_from <= now < row.signs_until]
        if not rows:
            fix = "fedcredit consent key rotate"
            raise ConfigError(Problem("CONSENT_KEY", str(self._folder), "holds no key that may sign now", fix))
        row = max(rows, key=lambda row: (row.signs_from, row.kid))
        key = load_key(self._path(row.kid))
        if key.public_key().public_bytes_raw() != row.public_key:
            raise ConfigError(Problem("CONSENT_KEY", str(self._path(row.kid)), "is another key than its name says"))
        return Issuer(row.public_key, "authority", name=self._me), key

    def rotate(self) -> None:
        """Make the next key and tell of it; it signs from `ANNOUNCE_S` on."""
        now, before = self._now(), self._own()
        begins = now + ANNOUNCE_S
        self._add(self._make(), begins if any(row.signs_from <= now < row.signs_until for row in before) else now)
        for row in before:
            if row.signs_until > begins:
                self._store.consent_keys.end(
                    row.kid, signs_until=begins, ends=begins + MAX_LIFETIME_S + ANNOUNCE_S + LEEWAY_S
                )
        self._tidy()

    def retire(self, kid: str) -> None:
        """Believe a key no more, whoever's it is; another one takes its place if it was the one that signs.

        Raises: UsageError (CONSENT_KEY) if there is none of that name.
        """
        rows = [row for row in self._store.consent_keys.all() if row.kid == kid]
        if not rows:
            raise UsageError(Problem("CONSENT_KEY", f"key {kid[:40]}", "is not there", "fedcredit consent key list"))
        now = self._now()
        self._store.consent_keys.end(kid, signs_until=now, ends=now)
        if not any(row.signs_from <= now < row.signs_until for row in self._own()):
            self._add(self._make(), now)
        self._tidy()

    def _own(self) -> list[KeyRow]:
        return [row for row in self._store.consent_keys.all() if row.kind == AUTHORITY]

    def _make(self) -> Ed25519PrivateKey:
        key = Ed25519PrivateKey.generate()
        create_file(self._path(kid_of(key.public_key().public_bytes_raw())), private_pem(key))
        failpoints.hit("consent.key.written")
        return key

    def _add(self, key: Ed25519PrivateKey, signs_from: int) -> None:
        public = key.public_key().public_bytes_raw()
        self._store.consent_keys.add(
            KeyRow(kid_of(public), AUTHORITY, "", public, signs_from, FAR, FAR, recorded=False)
        )

    def _tidy(self) -> None:
        """Destroy private keys that sign no more: what is not there cannot be stolen."""
        now = self._now()
        gone = [path for row in self._own() if row.signs_until <= now and (path := self._path(row.kid)).exists()]
        for path in gone:
            path.unlink()
        if gone:
            sync_folder(self._folder)

    def _path(self, kid: str) -> Path:
        return self._folder / f"{kid}.key"


def new_key(path: Path) -> Ed25519PrivateKey:
    """A key that a subject holds itself, written to `path` for its owner alone. Raises: ConfigError (EXISTS)."""
    key = Ed25519PrivateKey.generate()
    create_file(path, private_pem(key))
    return key


def load_key(path: Path) -> Ed25519PrivateKey:
    """A key from its file. Raises: ConfigError (KEY_MISSING, KEY_EXPOSED, CONSENT_KEY)."""
    try:
        key = load_pem_private_key(read_secret(path), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(Problem("CONSENT_KEY", str(path), "is no Ed25519 key in PEM", "fedcredit consent key new"))
    return key
