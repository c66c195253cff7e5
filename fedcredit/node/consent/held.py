"""What a party knows of consents: issuers' keys and revocations, as the platform said last. On its disk, and fresh.

The platform pushes a bulletin when something changes, and the party asks at least every half minute; what comes is
believed with the signature of the pinned platform alone, and kept before anybody acts on it. Nothing here refuses a
consent: whoever decides looks at the bulletin's time, and an old one refuses all (`decision.MAX_LIST_AGE_S`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable
from pathlib import Path

from fedcredit import failpoints
from fedcredit.errors import ConfigError, FedcreditError, PeerError, Problem
from fedcredit.governance.consent.bulletin import BULLETIN, Bulletin, BulletinHead, invalid
from fedcredit.governance.consent.claims import LEEWAY_S
from fedcredit.governance.consent.decision import Premises
from fedcredit.governance.consent.issuers import Issuers
from fedcredit.ids import PartyId
from fedcredit.node.durable_files import replace_file
from fedcredit.node.rpc import ControlClient, Method
from fedcredit.node.signing import SigningIdentity
from fedcredit.observe import logs
from fedcredit.wire.consent import ConsentBulletin, FollowConsents
from fedcredit.wire.control import Accepted
from fedcredit.wire.message import MessageInvalid

__all__ = ["HeldConsents"]

_log = logs.get("consent")

WAIT_S = 20.0
"""How long the platform may keep a question that has no news: so a bulletin is this fresh at least."""
RETRY_S = 5.0

_MAX_FILE_BYTES = 12 << 20
_PARTS = ("head", "signature", "certificate", "body")

Hear = Callable[[Bulletin], None]


class HeldConsents:
    """The bulletin of `platform`, kept in `folder`. `listen` hears of each newer one, on the event loop."""

    def __init__(self, folder: Path, platform: PartyId, signing: SigningIdentity) -> None:
        self._path, self._platform, self._signing = folder / "consents.json", platform, signing
        self._lock = asyncio.Lock()
        self._listeners: list[Hear] = []
        self.bulletin: Bulletin | None = None
        """What holds, as of `bulletin.head.time`; None: nothing was ever heard, and every consent is refused."""

    def premises(self, provider: str, region: str) -> Premises:
        """What a decision at `provider` stands on."""
        if self.bulletin is None:
            return Premises(provider, region, Issuers())
        body, head = self.bulletin.body, self.bulletin.head
        return Premises(provider, region, self.bulletin.issuers(), frozenset(body.revoked), head.time)

    def listen(self, hear: Hear) -> None:
        """Let `hear` be called with each bulletin, at once with the one that is there."""
        self._listeners.append(hear)
        if self.bulletin is not None:
            hear(self.bulletin)

    def load(self) -> None:
        """Read what was kept. One that cannot be read or believed any more counts as none, and is asked for anew."""
        try:
            if self._path.stat().st_size > _MAX_FILE_BYTES:
                raise ValueError("size")
            value = json.loads(self._path.read_bytes())
            message = ConsentBulletin(*(bytes.fromhex(value[part]) for part in _PARTS))
            self.bulletin = Bulletin.join(self._head(message), message.body)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError, PeerError, MessageInvalid) as error:
            _log.warning("consents.unread", error=type(error).__name__)

    def methods(self) -> list[Method]:
        """The calls of `fedcredit.v1.ConsentHolder`."""
        return [Method("Take", ConsentBulletin, frozenset({self._platform}), handle=self._taken)]

    async def follow(self, client: ControlClient) -> None:
        """Ask the platform for ever. Cancel it to stop."""
        while True:
            try:
                number = 0 if self.bulletin is None else self.bulletin.head.number
                request = FollowConsents(number, int(WAIT_S * 1000))
                reply = await client.call("Follow", request, ConsentBulletin, timeout_s=WAIT_S + 10, attempts=1)
                if not await self.take(reply):
                    await asyncio.sleep(1.0)  # a platform that answers at once is not asked all the time
                continue
            except FedcreditError as error:
                tell = _log.error if isinstance(error, PeerError) else _log.info
                tell("consents.missed", peer=client.peer, code=error.code)
            except Exception as error:  # noqa: BLE001 - a node that stopped to listen would not hear of a revocation
                _log.error("consents.missed", peer=client.peer, error=type(error).__name__)
            await asyncio.sleep(RETRY_S * random.uniform(0.5, 1.5))  # noqa: S311

    async def take(self, message: ConsentBulletin) -> bool:
        """Keep a bulletin, then act on it; whether it says more than the last one.

        Raises: PeerError (SIGNER_INVALID, SIGNATURE_INVALID, BULLETIN_INVALID, BULLETIN_ROLLBACK, BULLETIN_FUTURE).
        """
        async with self._lock:
            made = await asyncio.to_thread(self._believed, message)
            if made is None:
                return False
            self.bulletin = made
        for hear in self._listeners:
            hear(made)
        return True

    async def _taken(self, caller: PartyId, request: ConsentBulletin) -> Accepted:
        await self.take(request)
        return Accepted()

    def _believed(self, message: ConsentBulletin) -> Bulletin | None:
        head, last = self._head(message), self.bulletin
        if head.time > int(self._signing.clock.now().timestamp()) + LEEWAY_S:
            # Its time would keep it from ever growing old.
            raise PeerError(self._platform, "consents", "is dated in the future", "BULLETIN_FUTURE")
        if message.body or last is None:
            made = Bulletin.join(head, message.body)
        elif head.digest == last.head.digest:
            made = Bulletin(head, last.body)
        else:
            raise invalid(self._platform, "left out a body that is not known here")
        if last is not None and not made.follows(last.head):
            return None
        self._keep(message, made)
        return made

    def _head(self, message: ConsentBulletin) -> BulletinHead:
        self._signing.verify(self._platform, message.certificate, BULLETIN, message.signature, message.head)
        return BulletinHead.parse(message.head, self._platform)

    def _keep(self, message: ConsentBulletin, made: Bulletin) -> None:
        body = message.body or made.body.to_bytes()
        whole = ConsentBulletin(message.head, message.signature, message.certificate, body)
        data = json.dumps({part: getattr(whole, part).hex() for part in _PARTS}).encode()
        try:
            replace_file(self._path, data)
        except OSError as error:
            problem = Problem("STATE_UNKEPT", str(self._path), f"cannot be written: {error.strerror}", "make room")
            raise ConfigError(problem) from None
        failpoints.hit("consent.bulletin.kept", str(made.head.number))
