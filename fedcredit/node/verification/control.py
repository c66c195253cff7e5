"""The questions' side of a running node: it loads tables, compiles what is decided by, and keeps the service current.

Everything that changes leads to a new snapshot, which the service takes whole: the policy's file, the tables, what the
platform says of consents, the day's offset of the time zone. Certificates and trust go to it by another way. What is
wrong with a table leaves the one before in service and is said in `serving.json`; what is wrong with the policy leaves
nobody answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
from fedcredit.governance.audit import VERIFY_LOG, Event, origin_of
from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.ids import PartyId
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store
from fedcredit.node.verification.building import Built, build, columns_of, remove_others, resources_of
from fedcredit.node.verification.figures import VerifyFigures
from fedcredit.node.verification.log_key import log_folder
from fedcredit.node.verification.plane import Identity, Plane
from fedcredit.node.verification.serving import Offer, offer_of
from fedcredit.node.verification.snapshot import snapshot_of
from fedcredit.node.verification.state import requested, write_state
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import digest_of, load_policy
from fedcredit.runtime.verify_file import VerifySection
from fedcredit.transport.grpc import Keyring

__all__ = ["Open", "Verification", "identity_of"]

LOOK_S = 0.5
"""How soon a change of a file counts."""

RETRY_S = 60.0
"""After a table could not be read."""

_INDEXES = "indexes"

Open = Callable[[str, Identity], Plane]
"""Starts the native service on its port with a first snapshot. Raises: ConfigError (PORT_IN_USE, AUDIT_*)."""

_log = logs.get("verify")


@dataclass(slots=True)
class _Now:
    """What the service answers by at the moment."""

    policy_digest: str = ""
    policy: VerifyPolicy = field(default_factory=VerifyPolicy)
    columns: Mapping[str, tuple[str, ...]] | None = None
    """Of each item's table, once all of them were read."""
    offer: Offer | None = None
    built: tuple[Built, ...] = ()
    problems: tuple[Problem, ...] = ()
    snapshot: str = ""
    refresh_at: float = 0.0
    request: str = ""
    head: tuple[int, str] = (0, "")


class Verification:
    """The control plane of one node. Lives on its event loop; tables are read in a thread."""

    def __init__(
        self, config: PartyFile, keyring: Keyring, clock: Clock, store: Store, recorder: Recorder, open_plane: Open
    ) -> None:
        assert config.verify is not None, "made where there is a [verify]"
        self._section: VerifySection = config.verify
        self._config, self._keyring, self._clock, self._recorder = config, keyring, clock, recorder
        self._store, self._open = store, open_plane
        self._bulletin: Bulletin | None = None
        self._plane: Plane | None = None
        self._task: asyncio.Task[None] | None = None
        self._figures: VerifyFigures | None = None
        self._now = _Now()

    @property
    def port(self) -> int:
        """Where questions are taken."""
        return 0 if self._plane is None else self._plane.port

    def hear(self, bulletin: Bulletin) -> None:
        """What the platform says of consents: counts within half a second."""
        self._bulletin = bulletin

    def well(self) -> bool:
        """Whether questions are answered: tables were read, and the log takes entries."""
        return self._plane is not None and self._now.columns is not None and self._plane.well()

    async def start(self) -> None:
        """Take questions. Until the tables are read, which may take minutes, all of them are refused.

        Raises: ConfigError (PORT_IN_USE, AUDIT_*) where the service cannot start at all.
        """
        log_folder(self._config.folder).mkdir(mode=0o700, exist_ok=True)
        self._look_at_policy()
        self._now.snapshot = self._snapshot()
        self._keyring.subscribe(self._identify)
        self._plane = await asyncio.to_thread(self._open, self._now.snapshot, identity_of(self._keyring))
        self._figures = VerifyFigures(self._plane.stats)
        self._figures.start()
        self._say()
        # What was believed may have changed while the service was opened.
        self._identify()
        self._task = asyncio.create_task(self._keep(), name="verification")

    async def stop(self, grace_s: float) -> None:
        """Take no more questions, and answer those that were taken."""
        self._keyring.unsubscribe(self._identify)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._plane is not None:
            await asyncio.to_thread(self._plane.stop, grace_s)
        if self._figures is not None:
            self._figures.stop()

    async def _keep(self) -> None:
        while True:
            try:
                await self._look()
            except FedcreditError as error:
                _log.error("verify.unkept", code=error.code)
            except Exception as bug:  # noqa: BLE001 - a service that no longer heard of revocations would be worse
                _log.error("verify.bug", error=type(bug).__name__, places=logs.places(bug))
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        self._look_at_policy()
        wanted = requested(self._config.folder)
        asked = bool(wanted) and wanted != self._now.request
        if asked or self._clock.monotonic() >= self._now.refresh_at:
            await self._refresh()
            self._now.request = wanted
            self._swap()
            self._say()
        else:
            self._swap()
        await asyncio.to_thread(self._keep_head)

    def _keep_head(self) -> None:
        """Keep the log's head in the store, so that a log that was rolled back is noticed at the next start."""
        assert self._plane is not None, "looked after once it runs"
        log = self._plane.stats()["log"]
        head = int(log["size"]), str(log["root"])
        if head != self._now.head and head[0]:
            self._store.heads.put(origin_of(self._config.me, VERIFY_LOG), head[0], bytes.fromhex(head[1]))
            self._now.head = head

    def _look_at_policy(self) -> None:
        digest = digest_of(self._config.folder / "policy.toml")
        if digest == self._now.policy_digest:
            return
        self._now.policy_digest = digest
        try:
            self._now.policy = load_policy(self._config.folder).questions
        except ConfigError as error:
            # No rule: nobody is answered until it is mended.
            self._now.policy = VerifyPolicy(zone=self._now.policy.zone)
            _log.warning("verify.policy_unusable", code=error.code)
        if self._now.columns is not None:
            # How sensitive an answer is, the policy says.
            self._now.offer = offer_of(self._section, self._now.policy, self._now.columns)

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(self._read_tables)
            self._now.problems = ()
            hours = self._section.refresh_hours
            wait_s = hours * 3600 if hours else float("inf")
        except (DataError, ConfigError) as error:
            self._now.problems = error.problems
            wait_s = RETRY_S
            _log.error("verify.tables_unread", code=error.code, count=len(self._now.built))
        self._now.refresh_at = self._clock.monotonic() + wait_s

    def _read_tables(self) -> None:
        node, limits = self._config.folder, self._config.limits
        resources = resources_of(node, limits.memory_mib, limits.threads)
        columns = columns_of(node, self._section, resources)
        offer = offer_of(self._section, self._now.policy, columns)
        folder, today = log_folder(node) / _INDEXES, self._clock.now().date()
        built: list[Built] = []
        problems: list[Problem] = []
        for item, register in offer.registers.items():
            try:
                matched = offer.matches(item)
                built.append(build(register, self._section, node, folder, resources, today, matched=matched))
            except (DataError, ConfigError) as error:
                problems += error.problems
        if problems:
            remove_others(folder, [one.path for one in self._now.built])
            raise DataError(problems)
        self._now.columns, self._now.offer, self._now.built = columns, offer, tuple(built)
        for one in built:
            _log.info("verify.table_read", kind=one.item, rows=one.records)

    def _snapshot(self) -> str:
        offer = self._now.offer or Offer(self._section.region, (), {}, ())
        paths = {one.item: one.path for one in self._now.built}
        now = self._clock.now()
        return snapshot_of(
            self._config.me, offer, self._now.policy, paths, self._bulletin, now, self._section.institutions
        )

    def _swap(self) -> None:
        """Hand over what has changed, if anything has."""
        snapshot = self._snapshot()
        if snapshot == self._now.snapshot:
            return
        assert self._plane is not None, "swapped once it runs"
        try:
            self._plane.swap(snapshot)
        except (ConfigError, DataError) as error:
            # What was decided by before may be what was just forbidden: nobody is answered until it is mended.
            _log.error("verify.snapshot_refused", code=error.code)
            self._now.problems = error.problems
            nobody = Offer(self._section.region, (), {}, ()), VerifyPolicy(zone=self._now.policy.zone)
            self._plane.swap(snapshot_of(self._config.me, *nobody, {}, None, self._clock.now()))
        changed = _without_times(snapshot) != _without_times(self._now.snapshot)
        self._now.snapshot = snapshot
        remove_others(log_folder(self._config.folder) / _INDEXES, [one.path for one in self._now.built])
        if changed:
            self._record()

    def _record(self) -> None:
        digest = hashlib.sha256(self._now.snapshot.encode()).hexdigest()
        self._recorder.record(
            Event.SERVING_CHANGED,
            "",
            snapshot=digest,
            policy=self._now.policy_digest,
            questions=self._questions,
            records=sum(one.records for one in self._now.built),
        )

    def _say(self) -> None:
        address = f"{self._section.host}:{self.port}"
        write_state(
            self._config.folder, address, self._now.built, self._questions, self._now.problems, self._now.request
        )

    @property
    def _questions(self) -> int:
        return 0 if self._now.offer is None else len(self._now.offer.questions)

    def _identify(self) -> None:
        if self._plane is None:
            return
        try:
            self._plane.identify(identity_of(self._keyring))
        except ConfigError as error:
            _log.error("verify.identity_refused", code=error.code)


def identity_of(keyring: Keyring) -> Identity:
    """What the service shows and believes, from what the node does."""
    trust, authorities, before = keyring.trust, dict[PartyId, tuple[bytes, ...]](), dict[PartyId, int]()
    for party in trust.parties:
        if trust.refusal(party) is not None:
            continue
        pin = trust.pin(party)
        authorities[party] = tuple(certificate.public_bytes(Encoding.DER) for certificate in pin.authorities)
        before[party] = 0 if pin.not_before is None else int(pin.not_before.timestamp())
    own = keyring.credentials
    return Identity(own.certificate, own.private_key, authorities, before)


def _without_times(snapshot: str) -> str:
    head, _, rest = snapshot.partition('"revocations_at": ')
    return head + rest.partition(",")[2]
