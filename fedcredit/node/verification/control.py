"""The questions' side of a running node: it loads tables, compiles what is decided by, and keeps the service current.

Everything that changes leads to a new snapshot, which the service takes whole: the policy's file, the tables, what the
platform says of consents, the day's offset of the time zone. Certificates and trust go to it by another way. What is
wrong with a table leaves the one before in service and is said in `serving.json`; what is wrong with the policy leaves
nobody answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from fedcredit.errors import ConfigError, DataError, FedcreditError, Problem
from fedcredit.governance.audit import VERIFY_LOG, Event, origin_of
from fedcredit.governance.consent.bulletin import Bulletin
from fedcredit.governance.verification.rules import VerifyPolicy
from fedcredit.ids import PartyId
from fedcredit.node.recorder import Recorder
from fedcredit.node.store import Store
from fedcredit.node.verification.building import Built, GivenUp, build, columns_of, remove_others, resources_of
from fedcredit.node.verification.figures import VerifyFigures
from fedcredit.node.verification.kept_indexes import KeptIndexes, Seen, keep, recall, sources_seen
from fedcredit.node.verification.log_key import log_folder
from fedcredit.node.verification.plane import Identity, Plane
from fedcredit.node.verification.serving import Offer, offer_of
from fedcredit.node.verification.snapshot import snapshot_of
from fedcredit.node.verification.standing import Standing
from fedcredit.node.verification.state import requested, write_state
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.runtime.policy_file import digest_of, load_policy
from fedcredit.runtime.verify_file import VerifySection
from fedcredit.tables import Resources
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
    made_of: tuple[object, ...] = ()
    """What `snapshot` was made from: while that is the same, it is not made anew."""
    refresh_at: float = 0.0
    request: str = ""
    head: tuple[int, str] = (0, "")
    nobody: bool = False
    """Whether nobody is answered, since the service did not take what it was to decide by."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What came of reading the tables for `request`: their columns and indexes, or what is wrong with them."""

    request: str
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    built: tuple[Built, ...] = ()
    problems: tuple[Problem, ...] = ()
    at: datetime.datetime = datetime.datetime.min
    seen: Seen | None = None
    """What the tables looked like before and after; None where they might have changed meanwhile."""


class Verification:
    """The control plane of one node. Lives on its event loop; tables are read in a thread, and all else goes on."""

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
        self._reading: asyncio.Task[_Read | None] | None = None
        self._wake = asyncio.Event()
        self._stopping = threading.Event()
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

    def standing(self) -> Standing:
        """What is decided by now, for who answers beside the native service."""
        now = self._now
        policy = VerifyPolicy(zone=now.policy.zone) if now.nobody else now.policy
        return Standing(policy, now.offer, {one.item: one for one in now.built}, self._bulletin)

    async def start(self) -> None:
        """Take questions. Until the tables are read, which may take minutes, all of them are refused.

        Unless nothing has changed since the process before read them: then its index files are good until that.

        Raises: ConfigError (PORT_IN_USE, AUDIT_*) where the service cannot start at all.
        """
        log_folder(self._config.folder).mkdir(mode=0o700, exist_ok=True)
        self._look_at_policy()
        self._now.snapshot = self._snapshot(self._bulletin)
        self._keyring.subscribe(self._identify)
        self._plane = await asyncio.to_thread(self._open, self._now.snapshot, identity_of(self._keyring))
        self._figures = VerifyFigures(self._plane.stats)
        self._figures.start()
        await asyncio.to_thread(self._recall)
        self._say()
        # What was believed may have changed while the service was opened.
        self._identify()
        self._task = asyncio.create_task(self._keep(), name="verification")

    async def stop(self, grace_s: float) -> None:
        """Take no more questions, and answer those that were taken. A table that is being read is given up."""
        self._keyring.unsubscribe(self._identify)
        self._stopping.set()
        self._wake.set()
        # A look is not cut off: its thread would go on, over a service and a log that are closed.
        await _ended(self._task, grace_s)
        closed = None if self._plane is None else asyncio.to_thread(self._plane.stop, grace_s)
        await asyncio.gather(_ended(self._reading, grace_s), *([] if closed is None else [closed]))
        if self._figures is not None:
            self._figures.stop()

    def _recall(self) -> None:
        node, now = self._config.folder, self._clock.now()
        found = recall(log_folder(node) / _INDEXES, self._section, node, self._now.policy, now)
        if found is not None:
            self._now.columns, self._now.built = found.columns, found.built
            self._now.offer = offer_of(self._section, self._now.policy, found.columns)
            _log.info("verify.tables_known", rows=sum(one.records for one in found.built))
            self._swap()

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                await self._look()
            except FedcreditError as error:
                _log.error("verify.unkept", code=error.code)
            except Exception as bug:  # noqa: BLE001 - a service that no longer heard of revocations would be worse
                _log.error("verify.bug", error=type(bug).__name__, places=logs.places(bug))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()

    async def _look(self) -> None:
        self._look_at_policy()
        wanted = requested(self._config.folder)
        due = (bool(wanted) and wanted != self._now.request) or self._clock.monotonic() >= self._now.refresh_at
        if self._reading is None and due:
            self._reading = asyncio.create_task(self._read(wanted), name="tables of verification")
            self._reading.add_done_callback(lambda _: self._wake.set())
        found: _Read | None = None
        if self._reading is not None and self._reading.done():
            found, self._reading = self._reading.result(), None
            if found is not None:
                self._take(found)
        # A new index is read in full when it is opened, and what has changed is recorded: not on the event loop.
        try:
            await asyncio.to_thread(self._swap)
            if found is not None and found.seen is not None and not self._now.problems:
                await asyncio.to_thread(self._keep_indexes, found, found.seen)
        finally:
            if found is not None:
                self._say()
        await asyncio.to_thread(self._keep_head)

    def _keep_indexes(self, found: _Read, seen: Seen) -> None:
        """Let the next process know from what the index files were made."""
        assert self._now.offer is not None, "there is one once tables were read"
        folder = log_folder(self._config.folder) / _INDEXES
        keep(folder, self._section, self._now.offer, KeptIndexes(found.columns, found.built, found.at), seen)

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

    async def _read(self, request: str) -> _Read | None:
        """What came of it; None where it was given up."""
        try:
            return await asyncio.to_thread(self._read_tables, request)
        except GivenUp:
            return None
        except FedcreditError as error:
            _log.error("verify.tables_unread", code=error.code, count=len(self._now.built))
            return _Read(request, problems=error.problems)
        except Exception as bug:  # noqa: BLE001 - a full disk, say: as a table that is wrong, it is said and tried again
            _log.error("verify.bug", error=type(bug).__name__, places=logs.places(bug))
            return _Read(request, problems=(Problem("INTERNAL", "verify", type(bug).__name__, "see the node's log"),))

    def _take(self, found: _Read) -> None:
        """Serve what was read, by the policy of now; or say what is wrong, and read again in a while."""
        hours = self._section.refresh_hours
        wait_s = hours * 3600 if hours else float("inf")
        if not found.problems:
            self._now.columns, self._now.built = found.columns, found.built
            self._now.offer = offer_of(self._section, self._now.policy, found.columns)
        self._now.problems, self._now.request = found.problems, found.request
        self._now.refresh_at = self._clock.monotonic() + (RETRY_S if found.problems else wait_s)

    def _read_tables(self, request: str) -> _Read:
        node, limits = self._config.folder, self._config.limits
        resources = resources_of(node, limits.memory_mib, limits.threads)
        now, seen = self._clock.now(), sources_seen(self._section, node)
        columns = columns_of(node, self._section, resources)
        offer = offer_of(self._section, self._now.policy, columns)
        folder, today = log_folder(node) / _INDEXES, now.date()
        try:
            built = self._build(offer, folder, resources, today)
        except BaseException:
            remove_others(folder, [one.path for one in self._now.built])
            raise
        for one in built:
            _log.info("verify.table_read", kind=one.item, rows=one.records)
        return _Read(request, columns, built, at=now, seen=seen if seen == sources_seen(self._section, node) else None)

    def _build(self, offer: Offer, folder: Path, resources: Resources, today: datetime.date) -> tuple[Built, ...]:
        """The index of every table. Raises: DataError with what is wrong with all of them."""
        built, problems = list[Built](), list[Problem]()
        for item, register in offer.registers.items():
            try:
                matched, node = offer.matches(item), self._config.folder
                give_up = self._stopping.is_set
                made = build(register, self._section, node, folder, resources, today, matched=matched, give_up=give_up)
                built.append(made)
            except (DataError, ConfigError) as error:
                problems += error.problems
        if problems:
            raise DataError(problems)
        return tuple(built)

    def _snapshot(self, bulletin: Bulletin | None) -> str:
        offer = self._now.offer or Offer(self._section.region, (), {}, ())
        paths = {one.item: one.path for one in self._now.built}
        now = self._clock.now()
        return snapshot_of(self._config.me, offer, self._now.policy, paths, bulletin, now, self._section.institutions)

    def _swap(self) -> None:
        """Hand over what has changed, if anything has. Takes as long as reading the index files that are new."""
        policy, bulletin = self._now.policy, self._bulletin
        offset = self._clock.now().astimezone(policy.zone).utcoffset()
        made_of = self._now.offer, policy, self._now.built, bulletin, offset
        if made_of == self._now.made_of:
            return
        snapshot = self._snapshot(bulletin)
        if snapshot == self._now.snapshot:
            self._now.made_of = made_of
            return
        assert self._plane is not None, "swapped once it runs"
        try:
            self._plane.swap(snapshot)
            self._now.nobody = False
        except (ConfigError, DataError) as error:
            self._now.nobody = True
            # What was decided by before may be what was just forbidden: nobody is answered until it is mended.
            _log.error("verify.snapshot_refused", code=error.code)
            self._now.problems = error.problems
            nobody = Offer(self._section.region, (), {}, ()), VerifyPolicy(zone=self._now.policy.zone)
            self._plane.swap(snapshot_of(self._config.me, *nobody, {}, None, self._clock.now()))
        changed = _without_times(snapshot) != _without_times(self._now.snapshot)
        self._now.snapshot, self._now.made_of = snapshot, made_of
        if self._reading is None:  # else some of what is there is being made
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
        address = self._section.address(self.port)
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


async def _ended(task: asyncio.Task[Any] | None, grace_s: float) -> None:
    """Wait for what was told to end; what does not within `grace_s` ends with the process."""
    if task is not None and (await asyncio.wait({task}, timeout=grace_s))[1]:
        _log.warning("verify.stop_late")
        task.cancel()


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
