"""What stands beside a node's own services for its audit log: its witness's desk, and the one who shows its heads."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AsyncExitStack
from datetime import timedelta

from fedcredit.errors import ConfigError
from fedcredit.governance.audit import VERIFY_LOG
from fedcredit.ids import PartyId
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.rpc import ControlClient, ControlService
from fedcredit.node.signing import SigningIdentity
from fedcredit.node.specification import JobSpecification
from fedcredit.node.store import Store
from fedcredit.node.trust.keys import platform_address
from fedcredit.node.witness.desk import WitnessDesk
from fedcredit.node.witness.own_log import OwnLog
from fedcredit.node.witness.shower import DAY_S, HeadShower
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock
from fedcredit.runtime.config import PartyFile
from fedcredit.transport.grpc import GrpcTransport, caller_of

__all__ = ["Witnesses"]

_log = logs.get("witness")


class _Others:
    """Whoever is believed and is not this party: who calls has been checked by the port, against the pins of now."""

    def __init__(self, me: PartyId) -> None:
        self._me = me

    def __contains__(self, party: object) -> bool:
        return party != self._me


class Witnesses:
    """Give `service` to the transport, and `start` once it listens; `stack` ends it all."""

    def __init__(self, config: PartyFile, signing: SigningIdentity, clock: Clock, stack: AsyncExitStack) -> None:
        self._config, self._signing, self._clock, self._stack = config, signing, clock, stack
        self._shower: HeadShower | None = None
        self.service = ControlService("Witness", caller_of)

    def bind(self, store: Store, recorder: Recorder | None) -> None:
        """Answer peers, once the node's store and log are open. Raises: ConfigError (AUDIT_UNAVAILABLE)."""
        desk = WitnessDesk(self._signing, store, recorder, self._clock)
        desk.recover()
        self.service.bind(desk.methods(_Others(self._config.me)))

    def start(self, transport: GrpcTransport, store: Store, policy: PolicySource | None) -> None:
        """Begin to show this node's heads: to whom `policy` says, or without one, as at a platform, to all members."""
        folder, config = self._config.folder, self._config
        own = {
            "": OwnLog(folder / "audit", self._signing),
            VERIFY_LOG: OwnLog(folder / VERIFY_LOG / "audit", self._signing, VERIFY_LOG),
        }

        def reach(peer: PartyId) -> ControlClient:
            # Members are known to the transport; the platform, which sends no frames, is not.
            known = platform_address(config) if peer == config.trust.platform else None
            address = None if known is None else known[1]
            return ControlClient(transport.connection(peer, address), "Witness", peer)

        def members() -> Collection[PartyId]:
            platform = {PartyId(config.trust.platform)} if config.party.kind != "platform" else set()
            known = (transport.peers | platform) - {config.me}
            if policy is None:
                return known
            try:
                return policy.current().shown_heads(known)
            except ConfigError as error:
                _log.warning("policy.unusable", code=error.code)
                return ()

        self._shower = HeadShower(own, reach, members, self._clock)
        self._shower.start()
        self._stack.push_async_callback(self._shower.stop)
        since = self._clock.now() - timedelta(seconds=DAY_S)
        for specification in store.jobs.ended_since(since):
            self.job_ended(JobSpecification.parse(specification))

    def job_ended(self, job: JobSpecification) -> None:
        """Show the log to all that took part in a job. What they learn by that is in the job's table of leakage."""
        if self._shower is not None:
            others = {*job.data_parties, job.platform} - {self._config.me}
            self._shower.show(sorted(map(PartyId, others)))
