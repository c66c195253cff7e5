"""A bank's side of private questions: which of its consented subjects are in a provider's table, before it asks.

All of them are looked up before any question is asked, in an order of chance, so that nothing but their number can be
told from when or where an element came.
"""

from __future__ import annotations

import enum
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fedcredit.crypto.randomness import SystemRandomness
from fedcredit.errors import ConfigError, DataError, PeerError, Problem
from fedcredit.governance.consent.claims import Consent
from fedcredit.governance.consent.issuers import BY_ENTERPRISE
from fedcredit.governance.consent.refusal import ConsentRefused
from fedcredit.governance.consent.token import Envelope
from fedcredit.ids import PartyId
from fedcredit.node.filters.held import HeldFilter
from fedcredit.node.membership.driving import Caller
from fedcredit.node.membership.folder import private_folder
from fedcredit.node.rpc import ControlClient
from fedcredit.node.trust.keys import node_address, open_keyring, platform_address
from fedcredit.protocols.intersect.filters import MOST_ASKED, SharedFilter
from fedcredit.protocols.membership import MembershipAsker
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.predicate_file import shipped_predicates
from fedcredit.transport.address import RELAYED
from fedcredit.transport.connections import Connection
from fedcredit.transport.limits import Limits
from fedcredit.wire.intersect import FilterOffer, FilterPiece, FilterProgress
from fedcredit.wire.membership import MAX_CONSENTS, FilterTerms
from fedcredit.wire.message import Message

__all__ = ["Sighting", "looked_up"]

Pair = tuple[str, str]
"""A subject's code and its consent token."""

_SYSTEM = random.SystemRandom()


class Sighting(enum.Enum):
    """What is known of a subject and its consent before a question: ask about it, or what to say without asking."""

    PRESENT = "present"
    ABSENT = "not in the provider's table"
    REFUSED = "consent not accepted"


@dataclass(slots=True)
class _Progress:
    """Tells how much of a filter is there, once a MiB."""

    say: Callable[[str], None] = field(repr=False)
    got: int = 0

    def __call__(self, message: Message) -> None:
        match message:
            case FilterProgress() if message.done < message.total:
                self.say(f"filter: the provider has evaluated {message.done} of {message.total} parts of its table")
            case FilterOffer() if message.whole:
                self.say(f"filter: all of it is sent, {message.entries:,} entries of {message.bits} bits")
            case FilterPiece():
                self.got += len(message.data)
                self.say(f"filter: {self.got / 2**20:,.1f} MiB have come")
            case _:
                pass


async def looked_up(
    config: PartyFile,
    provider: PartyId,
    predicate: str,
    purpose: str,
    pairs: Sequence[Pair],
    say: Callable[[str], None] = lambda line: None,
) -> list[Sighting]:
    """The sighting of each of `pairs`, with the identity of a node's folder; `say` hears how far it is.

    Raises: DataError (PRIVATE_CONSENT, SET_SIZE), ConfigError (PEER_UNKNOWN, PRIVATE_RELAYED), RefusedError
    (MEMBERSHIP_REFUSED: nothing more is said), PeerLost, PeerError.
    """
    claims = {pair: said for pair in dict.fromkeys(pairs) if (said := _claims(pair)) is not None}
    _refuse_own_keys(claims.values())
    asked = list(claims)
    if len(asked) > MOST_ASKED:
        what = f"{len(asked):,} are more than are asked about privately at once ({MOST_ASKED:,})"
        raise DataError(Problem("SET_SIZE", "subjects", what, "ask in parts"))
    found: dict[Pair, Sighting] = {}
    if asked:
        async for part, sightings in _Way(config, provider, predicate, purpose).ask(asked, say):
            found |= dict(zip(part, sightings, strict=True))
            say(f"membership: {len(found):,} of {len(asked):,}")
    return [found.get(pair, Sighting.REFUSED) for pair in pairs]


class _Way:
    """The way to a provider's and the platform's node, for one question."""

    def __init__(self, config: PartyFile, provider: PartyId, predicate: str, purpose: str) -> None:
        known = platform_address(config)
        if known is None:
            what, fix = "has joined no platform, whose permits private questions take", "fedcredit party enrol"
            raise ConfigError(Problem("PEER_UNKNOWN", str(config.me), what, fix))
        self._config, self._provider = config, provider
        self._platform, platform_at = known
        self._question = predicate, purpose
        self._item = shipped_predicates()[predicate].program.item
        keyring = open_keyring(config, SystemClock())
        self._connections = [
            Connection(provider, _direct(config, provider), keyring, Limits()),
            Connection(self._platform, platform_at, keyring, Limits()),
        ]

    async def ask(
        self, pairs: Sequence[Pair], say: Callable[[str], None]
    ) -> AsyncIterator[tuple[Sequence[Pair], list[Sighting]]]:
        """Some of `pairs` after the other, with their sightings."""
        to_provider, to_platform = self._connections
        caller = Caller(
            ControlClient(to_provider, "Membership", self._provider),
            ControlClient(to_platform, "Permits", self._platform),
            *self._question,
            _Progress(say),
        )
        role = MembershipAsker(self._config.me, self._provider, self._platform, *self._question, SystemRandomness())
        try:
            terms, current = await self._fetched(caller, role)
            for part in _parts(pairs):
                found = await caller.drive(role.ask(terms, current, part))
                yield part, [_sighting(*one) for one in zip(found.taken, found.present, strict=True)]
        finally:
            for connection in self._connections:
                await connection.close()

    async def _fetched(self, caller: Caller, role: MembershipAsker) -> tuple[FilterTerms, SharedFilter]:
        folder = private_folder(self._config.folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        kept = HeldFilter(folder, self._provider, self._item)
        with kept.alone():
            room = kept.room()
            terms = await caller.drive(role.terms())
            try:
                current = await caller.drive(role.fetch(terms, kept.current(), room))
            except PeerError as error:
                if error.code != "SET_SIZE":
                    raise
                # Its table was read anew in between, and has another number of subjects now.
                terms = await caller.drive(role.terms())
                current = await caller.drive(role.fetch(terms, kept.current(), room))
            kept.keep(current, room)
        return terms, current


def _direct(config: PartyFile, provider: PartyId) -> str:
    """Raises: ConfigError (PEER_UNKNOWN, PRIVATE_RELAYED)."""
    address = node_address(config, provider)
    if address.startswith(RELAYED):
        what, fix = "is reached over the relay alone, which carries no private questions", "ask without --private"
        raise ConfigError(Problem("PRIVATE_RELAYED", str(provider), what, fix))
    return address


def _claims(pair: Pair) -> Consent | None:
    """What the token says; None where it is none or of another subject. What else is wrong, the platform sees."""
    subject, token = pair
    try:
        said = Envelope.read(token).claims()
    except ConsentRefused:
        return None
    return said if said.subject == subject else None


def _refuse_own_keys(claims: Iterable[Consent]) -> None:
    own = sum(said.issuer == BY_ENTERPRISE for said in claims)
    if own:
        what = f"{own} are signed with subjects' own keys, and permits are given for the platform's alone"
        fix = "ask about these without --private, or have the platform issue their consents"
        raise DataError(Problem("PRIVATE_CONSENT", "consents", what, fix))


def _parts(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """In an order of chance, and no subject twice in one part."""
    times: Counter[str] = Counter()
    waves: dict[int, list[Pair]] = {}
    for pair in pairs:
        waves.setdefault(times[pair[0]], []).append(pair)
        times[pair[0]] += 1
    for wave in waves.values():
        _SYSTEM.shuffle(wave)
        for start in range(0, len(wave), MAX_CONSENTS):
            yield wave[start : start + MAX_CONSENTS]


def _sighting(taken: bool, present: bool) -> Sighting:
    if not taken:
        return Sighting.REFUSED
    return Sighting.PRESENT if present else Sighting.ABSENT
