"""What stands beside a party's services for scores: its desk, where party.toml has a `[score]`."""

from __future__ import annotations

import asyncio
import threading
from functools import cache, lru_cache, partial
from pathlib import Path

from fedcredit.errors import Problem, RefusedError
from fedcredit.estimators.parts import LabelPart, part_from_bytes
from fedcredit.estimators.scorecard_part import CardPart
from fedcredit.ids import PartyId
from fedcredit.node.consent.held import HeldConsents
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.registry.held import HeldModels, Served
from fedcredit.node.rpc import ControlService
from fedcredit.node.scoring.desk import ScoringDesk
from fedcredit.node.scoring.ledger import own_log, record_interrupted
from fedcredit.node.scoring.lent_trees import LentTrees
from fedcredit.node.scoring.own_keys import OwnKeys, own_keys
from fedcredit.node.scoring.points import PointsOfTable, read_points
from fedcredit.node.scoring.sides import SidesOfTable, read_sides
from fedcredit.node.scoring.subject_rows import KeptTable
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store
from fedcredit.node.trust.keys import platform_address, trust_folder
from fedcredit.node.verification.log_key import log_key
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.tables import Resources, TableSpec
from fedcredit.transport.grpc import Keyring, caller_of

__all__ = ["Scores", "declared_table", "resources_of"]

_HOUR_S = 3600.0
_MINUTE_S = 60.0


class Scores:
    """Give `services` to the transport, then `start` it, when models and consents are known."""

    def __init__(self, config: PartyFile) -> None:
        self._config = config
        joined = trust_folder(config) is not None and platform_address(config) is not None
        self._service = ControlService("Scoring", caller_of) if config.score is not None and joined else None
        self.services = [] if self._service is None else [self._service]

    async def start(
        self,
        models: HeldModels | None,
        consents: HeldConsents | None,
        keyring: Keyring,
        signing: SigningIdentity,
        store: Store,
        recorder: Recorder,
        policy: PolicySource,
    ) -> None:
        """Answer, where there is a platform: without one there are neither models nor consents.

        Raises: ConfigError (SECRET_INVALID) where its keys cannot be used, (AUDIT_*) where its log cannot.
        """
        config, section = self._config, self._config.score
        if self._service is None or section is None:
            return
        assert models is not None, "who has joined a platform hears of its models"
        assert consents is not None, "and of its consents"
        keys = _Keys(config.folder, config.me, signing.clock)
        await asyncio.to_thread(keys)
        if (log := own_log(config)) is not None:
            await asyncio.to_thread(record_interrupted, store, recorder, log)

        @lru_cache(maxsize=64)
        def kept(
            kind: str, manifest: bytes, data: bytes, job: str
        ) -> KeptTable[PointsOfTable] | KeptTable[SidesOfTable]:
            resources, age = resources_of(config), section.refresh_hours * _HOUR_S
            # Of a job that was agreed nothing changes, nor does party.toml while the node runs.
            declared = cache(partial(declared_table, config, store, job))
            if kind == "scorecard":
                card = CardPart.from_bytes(data)
                return KeptTable(lambda spec: read_points(card, spec, resources), declared, age)
            trees = part_from_bytes(data)
            if isinstance(trees, LabelPart):
                what, fix = "has its trees here, and others have scores of them from here alone", "ask for a card"
                raise RefusedError(Problem("SCORE_KIND", "model of trees", what, fix))
            cuts = [(split.feature, split.bin, split.missing_left) for split in trees.splits]
            return KeptTable(lambda spec: read_sides(trees.columns, cuts, spec, resources), declared, age)

        def tables(served: Served) -> KeptTable[PointsOfTable] | KeptTable[SidesOfTable]:
            return kept(served.offer.kind, served.manifest, served.part, served.offer.job)

        desk = ScoringDesk(
            me=config.me,
            section=section,
            models=models,
            tables=tables,
            lent=LentTrees(config.folder),
            premises=consents.premises,
            keys=keys,
            log_key=log_key(config.folder),
            signing=signing,
            trust=lambda: keyring.trust,
            store=store,
            recorder=recorder,
            policy=policy,
        )
        self._service.bind(desk.methods())


class _Keys:
    """The party's own keys, read again when somebody has renewed them, and once a minute in any case."""

    def __init__(self, folder: Path, me: PartyId, clock: Clock) -> None:
        self._folder, self._me, self._clock = folder, me, clock
        self._lock = threading.Lock()
        self._kept: tuple[float, int, OwnKeys] | None = None

    def __call__(self) -> OwnKeys:
        with self._lock:
            now, path = self._clock.monotonic(), self._folder / "keys" / "scores.json"
            changed = path.stat().st_mtime_ns if path.exists() else 0
            if self._kept is None or now - self._kept[0] > _MINUTE_S or changed != self._kept[1]:
                keys = own_keys(self._folder, self._me, int(self._clock.now().timestamp()))
                self._kept = now, path.stat().st_mtime_ns, keys
            return self._kept[2]


def resources_of(config: PartyFile) -> Resources:
    """What reading a table for scores may use."""
    return Resources(memory_limit_bytes=config.limits.memory_mib << 20, threads=config.limits.threads or 2)


def declared_table(config: PartyFile, store: Store, job: str) -> TableSpec:
    """The table to score from, as party.toml declares it now: that of `[score]`, else the one that a job read here.

    Raises: RefusedError (JOB_UNKNOWN, TABLE_UNKNOWN).
    """
    name = None if config.score is None else config.score.table
    if name is None:
        row = store.jobs.job(job)
        if row is None:
            fix = "name a table in [score], or publish a newer model"
            raise RefusedError(Problem("JOB_UNKNOWN", f"job {job}", "is not kept here any more", fix))
        name = JobSpecification.parse(row.specification or row.proposal).party(config.me).table
    if name not in config.tables:
        what, fix = "is not declared here", "declare it in party.toml as it was for the job"
        raise RefusedError(Problem("TABLE_UNKNOWN", f"table {name}", what, fix))
    return config.tables[name].spec(config.folder, None, name)
