"""What a party knows of its models: the platform's last bulletin, on its disk; and the words that it still has to tell.

The party asks, always: the platform need not be able to reach it. What comes is believed with the signature of the
pinned platform alone, recorded and kept before anybody acts on it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fedcredit import failpoints
from fedcredit.errors import ConfigError, FedcreditError, PeerError, Problem, RefusedError
from fedcredit.governance.audit import Fact
from fedcredit.governance.registry.bulletin import REGISTRY, Standing, check_served
from fedcredit.governance.registry.bulletin import ModelBulletin as Bulletin
from fedcredit.governance.registry.documents import WORD, Offer
from fedcredit.governance.registry.states import Role
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.node.registry.parts import OwnParts
from fedcredit.node.registry.recording import ModelRecord
from fedcredit.node.rpc import ControlClient
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.store import Store
from fedcredit.node.store.model_parts import OwnPart
from fedcredit.observe import logs
from fedcredit.wire.message import MessageInvalid
from fedcredit.wire.registry import FollowModels, ModelBulletin, ModelDocument, ModelWord

__all__ = ["HeldModels", "Served"]

_log = logs.get("model")

WAIT_S: Final = 20.0
"""How long the platform may keep a question that has no news."""
RETRY_S: Final = 5.0
PAUSE_S: Final = 0.5
"""Between two bulletins, so that a platform that always has news does not fill this party's log."""

MOST_NEWS: Final = 100
"""Changes of one bulletin that get an entry each; of more than that, the log has their number."""

CALL_S: Final = 30.0

_MAX_FILE_BYTES: Final = 4 << 20
_PARTS: Final = ("body", "signature", "certificate")


@dataclass(frozen=True, slots=True)
class Served:
    """A version that this party lets be scored with now, and its part of it.

    `manifest`: the digest of the version with all its parts, which is the same at all that speak of the same one.
    """

    offer: Offer
    role: Role
    manifest: bytes
    part: bytes = field(repr=False)


class HeldModels:
    """The bulletin of `platform`, kept in the node's folder, beside the party's own words in its store."""

    def __init__(
        self, folder: Path, platform: PartyId, signing: SigningIdentity, store: Store, record: ModelRecord
    ) -> None:
        self._path, self._platform, self._signing = folder / "models.json", platform, signing
        self._store, self._record = store, record
        self._parts = OwnParts(signing.me, folder, store)
        self._lock = asyncio.Lock()
        self.bulletin: Bulletin | None = None
        """Where the models stand; None: nothing was ever heard, and no part is scored with."""

    def load(self) -> None:
        """Read what was kept. One that cannot be read or believed any more counts as none, and is asked for anew."""
        try:
            if self._path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError("size")
            value = json.loads(self._path.read_bytes())
            self.bulletin = self._read(ModelBulletin(*(bytes.fromhex(value[part]) for part in _PARTS)))
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PeerError, MessageInvalid) as error:
            _log.warning("models.unread", error=type(error).__name__)

    def served(self, name: str, version: int) -> Served:
        """A version that may be scored with, with this party's part, which is compared with its hash.

        Raises: RefusedError (MODEL_STATE) and DataError (MODEL_PART_*): then no score is to be had of it here.
        """
        part, standing = self._standing(name, version)
        assert standing.manifest is not None, "a version that all approve has a digest"
        return Served(part.offer, standing.role, standing.manifest, self._parts.kept(part))

    def role(self, name: str, version: int) -> Role:
        """What a version may be scored with for, its part not looked at. Raises: RefusedError (MODEL_STATE)."""
        return self._standing(name, version)[1].role

    def _standing(self, name: str, version: int) -> tuple[OwnPart, Standing]:
        part = self._store.model_parts.of(name, version)
        if part is None or not part.word.approves:
            what = "was never approved here" if part is None else "was withdrawn here"
            fix = "fedcredit model approve, by this party's people"
            raise RefusedError(Problem("MODEL_STATE", f"model {name} {version}", what, fix))
        return part, check_served(name, version, part.word.offer, self.bulletin)

    async def follow(self, client: ControlClient) -> None:
        """Ask the platform for ever, and tell it what it does not know yet. Cancel it to stop."""
        while True:
            try:
                for part in await asyncio.to_thread(self._store.model_parts.all, untold=True):
                    await self._tell_again(client, part)
                number = 0 if self.bulletin is None else self.bulletin.number
                request = FollowModels(number, int(WAIT_S * 1000))
                reply = await client.call("Follow", request, ModelBulletin, timeout_s=WAIT_S + 10, attempts=1)
                await self.take(reply)
                await asyncio.sleep(PAUSE_S)
                continue
            except FedcreditError as error:
                tell = _log.error if isinstance(error, PeerError) else _log.info
                tell("models.missed", peer=client.peer, code=error.code)
            except Exception as error:  # noqa: BLE001 - a node that stopped to listen would serve what was retired
                _log.error("models.missed", peer=client.peer, error=type(error).__name__)
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311

    async def tell(self, client: ControlClient, part: OwnPart) -> None:
        """Bring a word to the platform. Raises: PeerLost while it is away; RefusedError when it does not take it."""
        # Signed when it is told: a key that was renewed meanwhile signs the same word.
        data = part.word.to_bytes()
        message = ModelWord(data, self._signing.sign(WORD, data), self._signing.certificate)
        try:
            await client.call("State", message, ModelDocument, timeout_s=CALL_S)
        except RefusedError as error:
            # What it refuses now it refuses for good; only its being too much at once passes.
            if error.code != "QUOTA":
                await asyncio.to_thread(lambda: self._store.model_parts.told(part.word, refused=True))
            raise
        failpoints.hit("model.word.told", part.word.name)
        await asyncio.to_thread(self._store.model_parts.told, part.word)

    async def take(self, message: ModelBulletin) -> bool:
        """Keep a bulletin, then act on it; whether it says more than the last one.

        Raises: PeerError (SIGNER_INVALID, SIGNATURE_INVALID, BULLETIN_*), ConfigError (STATE_UNKEPT, AUDIT_*).
        """
        async with self._lock:
            made = await asyncio.to_thread(self._believed, message)
            if made is None:
                return False
            self.bulletin = made
        return True

    async def _tell_again(self, client: ControlClient, part: OwnPart) -> None:
        try:
            await self.tell(client, part)
        except RefusedError as error:
            _log.warning("models.word_refused", peer=client.peer, code=error.code)

    def _believed(self, message: ModelBulletin) -> Bulletin | None:
        made = self._read(message)
        if not made.follows(self.bulletin, int(self._signing.clock.now().timestamp())):
            return None
        changed = self.bulletin is None or made.models != self.bulletin.models
        if changed:
            news = list(_news(self.bulletin, made))
            if len(news) > MOST_NEWS:
                digest = hashlib.sha256(message.body).hexdigest()
                news = [("", {"change": "heard", "number": made.number, "changes": len(news), "bulletin": digest})]
            for name, facts in news:
                self._record.note(name, **facts)
        self._keep(message, made)
        return made

    def _read(self, message: ModelBulletin) -> Bulletin:
        self._signing.verify(self._platform, message.certificate, REGISTRY, message.signature, message.body)
        return Bulletin.parse(message.body, self._platform, self._signing.me)

    def _keep(self, message: ModelBulletin, made: Bulletin) -> None:
        data = json.dumps({part: getattr(message, part).hex() for part in _PARTS}).encode()
        try:
            replace_file(self._path, data)
        except OSError as error:
            problem = Problem("STATE_UNKEPT", str(self._path), f"cannot be written: {error.strerror}", "make room")
            raise ConfigError(problem) from None
        failpoints.hit("model.bulletin.kept", str(made.number))


def _news(before: Bulletin | None, now: Bulletin) -> Iterator[tuple[str, dict[str, Fact]]]:
    """What has changed about which model, for the party's own log. What is not listed any more was retired."""
    known = {} if before is None else {(one.name, one.version): one for one in before.models}
    for one in now.models:
        if known.pop((one.name, one.version), None) != one:
            yield one.name, _heard(one, now.number)
    for (name, version), one in known.items():
        facts: dict[str, Fact] = {"change": "heard", "version": version, "number": now.number, "state": "retired"}
        yield name, facts | {"role": "", "offer": one.offer.hex(), "withdrawn": ""}


def _heard(one: Standing, number: int) -> dict[str, Fact]:
    return {
        "change": "heard",
        "version": one.version,
        "number": number,
        "state": one.state.value,
        "role": one.role.value,
        "offer": one.offer.hex(),
        "withdrawn": " ".join(one.withdrawn)[:256],
    }
