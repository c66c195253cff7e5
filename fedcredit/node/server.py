"""The process of a node: one folder, one port, one store. It says when it is ready and stops cleanly when told to.

Ready means: `ready.json` is in the folder, and one line with the same JSON has been written to standard output.
SIGTERM and SIGINT end it: running jobs come to their next checkpoint and wait, what is written is finished.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from cryptography import x509

from fedcredit.errors import ConfigError, FedcreditError, Problem
from fedcredit.governance.audit import Head
from fedcredit.ids import PartyId
from fedcredit.node.address_book import AddressBook
from fedcredit.node.audit_file import AuditFile
from fedcredit.node.audit_scan import Verifier
from fedcredit.node.consent.beside import ConsentsBeside
from fedcredit.node.durable_files import replace_file
from fedcredit.node.fsck import Checked, check_folder
from fedcredit.node.jobs import Premises, write_failure
from fedcredit.node.membership.desk import MembershipDesk
from fedcredit.node.membership.grounds import Grounds
from fedcredit.node.own_desk import OwnDesk
from fedcredit.node.own_store import hold_store, lock_folder
from fedcredit.node.party import PartyNode
from fedcredit.node.platform import Members, PlatformNode
from fedcredit.node.policy.source import PolicySource
from fedcredit.node.recorder import Recorder
from fedcredit.node.registry.beside import ModelsBeside
from fedcredit.node.relay import frame_peers, link_limits, listen_address, relay_side
from fedcredit.node.reports import ReportsDesk
from fedcredit.node.rpc import ControlClient, ControlService
from fedcredit.node.scoring.beside import Scores
from fedcredit.node.serve.ending import DRAIN_S, LEFTOVER_S, Running, drain, leave_within
from fedcredit.node.serve.figures import served
from fedcredit.node.serve.health import Health, Look
from fedcredit.node.serve.watchdog import Watchdog
from fedcredit.node.signing import AUDIT_HEAD, SigningIdentity, load_signing, verify_audit_head
from fedcredit.node.snapshots import sweep
from fedcredit.node.store import Store
from fedcredit.node.trust.beside import Beside
from fedcredit.node.trust.keys import open_keyring
from fedcredit.node.verification.control import Verification
from fedcredit.node.verification.native import opener
from fedcredit.node.witness.beside import Witnesses
from fedcredit.observe import logs
from fedcredit.runtime.clock import Clock, SystemClock
from fedcredit.runtime.config import PartyFile, load_party
from fedcredit.transport.address import RELAYED
from fedcredit.transport.grpc import GrpcTransport, Keyring, caller_of
from fedcredit.transport.refusals import refusals_logged
from fedcredit.transport.relay.sides import MemberSide, PlatformSide

__all__ = ["check_kept", "run_node", "serve"]


def run_node(folder: Path, *, with_parent: bool = False) -> None:
    """Run the node of `folder` until it is told to stop. `with_parent`: also when standard input ends.

    Raises: FedcreditError when it cannot start; the problems are in `failure.json` of the folder, too.
    """
    config = None
    # Results, reports of quality and temporary files hold rows or what follows from them, whoever may enter the folder.
    os.umask(0o077)
    try:
        config = load_party(folder)
        with refusals_logged():
            logs.set_up(party=config.me, level=config.log.level, form=config.log.format)
            asyncio.run(_serve_and_leave(config, with_parent=with_parent))
    except FedcreditError as error:
        if config is not None:
            write_failure(config.folder, error)
        raise


def check_kept(folder: Path) -> Checked:
    """Check all that the node of `folder` has kept. Raises: DataError with every problem, ConfigError (LOCKED)."""
    config = load_party(folder)

    def verifier() -> Verifier:
        path = config.path(config.identity.signing_certificate)
        try:
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
        except (ValueError, OSError):
            raise ConfigError(Problem("SIGNING_KEY", str(path), "is no certificate in PEM")) from None
        return lambda signature, body: verify_audit_head(certificate, signature, body)

    return check_folder(config, verifier)


async def _serve_and_leave(config: PartyFile, *, with_parent: bool) -> None:
    await serve(config, with_parent=with_parent)
    # All is closed. A kernel may still compute for a job that was stopped; Python would wait for its thread.
    leave_within(LEFTOVER_S)


async def serve(config: PartyFile, *, with_parent: bool = False) -> None:
    """Serve until a signal, the platform or an operator says stop.

    Raises: FedcreditError when it cannot start, LeaseLost when another process has taken over its store.
    """
    clock, shut_down = SystemClock(), asyncio.Event()
    async with AsyncExitStack() as stack:
        stack.enter_context(lock_folder(config.folder))
        stack.callback(Watchdog(config.me).stop)
        _stop_on_signals(shut_down)
        if with_parent:
            _stop_with_parent(shut_down)
        store = await hold_store(config, clock, shut_down, stack)
        start = _start_platform if config.party.kind == "platform" else _start_party
        running = await start(config, clock, store, shut_down, stack)
        ready = _say_ready(config, running)
        try:
            await shut_down.wait()
        finally:
            ready.unlink(missing_ok=True)
            await drain(running)
        store.lease.check()


async def _start_party(
    config: PartyFile, clock: Clock, store: Store, shut_down: asyncio.Event, stack: AsyncExitStack
) -> Running:
    assert config.tables or config.verify is not None, "a data party has a table"
    keyring = open_keyring(config, clock, renew=True)
    signing = load_signing(config, clock, lambda: keyring.trust)
    service, health = ControlService("Party", caller_of), Health()
    beside, consents = Beside(config, keyring, clock, stack), ConsentsBeside(config, clock, stack)
    witnesses, models = Witnesses(config, signing, clock, stack), ModelsBeside(config, clock, stack)
    scores, private = Scores(config), None
    if config.verify is not None and config.verify.private:
        private = ControlService("Membership", caller_of)
    services = [service, health.service, witnesses.service, *beside.services, *consents.services, *models.services]
    services += [*scores.services]
    services += [] if private is None else [private]
    transport, side = _transport(config, keyring, services)
    recorder = Recorder(stack.enter_context(_audit(config, signing, store, clock)), store)
    policy = PolicySource(config.folder, recorder)
    policy.look()
    witnesses.bind(store, recorder)
    premises = Premises(
        me=config.me,
        folder=config.folder,
        tables=config.tables,
        store=store,
        transport=transport,
        recorder=recorder,
        policy=policy,
        clock=clock,
        limits=config.limits,
        expired=lambda: keyring.expired,
        ended=witnesses.job_ended,
    )
    book = AddressBook(config.folder / "addresses.json", transport.add_peer)
    book.recall(transport.address)
    node = PartyNode(premises, signing, PartyId(config.trust.platform), book.learn, shut_down)
    node.recover()
    sweep(config.folder, {row.id for row in store.jobs.unfinished()})
    service.bind([*node.methods(_operators(config)), *OwnDesk(premises).methods()])
    verification = _verification(config, keyring, clock, signing, store, recorder)
    if private is not None and verification is not None and config.verify is not None:
        grounds = Grounds(config.me, PartyId(config.trust.platform), config.verify)
        desk = MembershipDesk(config.folder, grounds, verification.standing, store, recorder, clock)
        private.bind(desk.methods())
    looks = [*_looks(keyring, store), Look("AUDIT_UNAVAILABLE", lambda: recorder.usable)]
    if verification is not None:
        looks.append(Look("VERIFY_UNAVAILABLE", verification.well))
    await health.start(tuple(looks))
    await _connect(transport, side, stack)
    await beside.start(transport, store, signing, transport.add_peer, recorder)
    held = await consents.start_holder(transport, signing)
    served_models = await models.start_party(transport, store, signing, recorder, policy)
    await scores.start(served_models, held, keyring, signing, store, recorder, policy)
    stop, port = node.stop, 0
    if verification is not None:
        if held is not None:
            held.listen(verification.hear)
        await verification.start()
        port = verification.port

        async def stop() -> None:
            await asyncio.gather(node.stop(), verification.stop(DRAIN_S))

    witnesses.start(transport, store, policy)
    figures = await stack.enter_async_context(served(config.metrics, store, keyring, clock, lambda: recorder.entries))
    return Running(transport, service, health, stop, figures, port)


def _verification(
    config: PartyFile, keyring: Keyring, clock: Clock, signing: SigningIdentity, store: Store, recorder: Recorder
) -> Verification | None:
    """The questions' side of a party that answers any."""
    if config.verify is None:
        return None
    return Verification(config, keyring, clock, store, recorder, opener(config, signing, store))


async def _start_platform(
    config: PartyFile, clock: Clock, store: Store, shut_down: asyncio.Event, stack: AsyncExitStack
) -> Running:
    keyring = open_keyring(config, clock, renew=True)
    signing = load_signing(config, clock, lambda: keyring.trust)
    service, health = ControlService("Platform", caller_of), Health()
    reports = ControlService("Usage", caller_of)
    beside, consents = Beside(config, keyring, clock, stack), ConsentsBeside(config, clock, stack)
    witnesses, models = Witnesses(config, signing, clock, stack), ModelsBeside(config, clock, stack)
    services = [service, reports, health.service, witnesses.service]
    services += [*beside.services, *consents.services, *models.services]
    transport, side = _transport(config, keyring, services)
    addresses = dict(config.peers)

    def learn(party: PartyId, address: str) -> None:
        addresses[party] = address
        transport.add_peer(party, address)

    def connect(party: PartyId) -> ControlClient:
        return ControlClient(transport.connection(party), "Party", party)

    node = PlatformNode(config.me, addresses, connect, store, clock, config.limits, shut_down)
    service.bind(node.methods(_operators(config)))
    reports.bind(ReportsDesk(store).methods(Members(frozenset(), addresses)))
    await health.start(_looks(keyring, store))
    recorder = None
    if config.identity.authority is not None:
        recorder = Recorder(stack.enter_context(_audit(config, signing, store, clock)), store)
    witnesses.bind(store, recorder)
    await _connect(transport, side, stack)
    await beside.start(transport, store, signing, learn, recorder)
    await consents.start_authority(transport, store, signing, recorder, _operators(config), beside)
    models.start_registry(store, signing, recorder, _operators(config), beside)
    witnesses.start(transport, store, None)
    node.recover()
    entries = (lambda: 0) if recorder is None else (lambda: recorder.entries)
    figures = await stack.enter_async_context(served(config.metrics, store, keyring, clock, entries))
    return Running(transport, service, health, node.stop, figures)


def _looks(keyring: Keyring, store: Store) -> tuple[Look, ...]:
    return Look("STORE_UNAVAILABLE", store.answers), Look("CERT_EXPIRED", lambda: not keyring.expired)


Side = MemberSide | PlatformSide | None


def _transport(config: PartyFile, keyring: Keyring, services: Sequence[Any]) -> tuple[GrpcTransport, Side]:
    side = relay_side(config)
    transport = GrpcTransport(
        config.me,
        keyring,
        listen=listen_address(config),
        local=None if side is None else side.local,
        route=None if side is None else side.route,
        peers=frame_peers(config),
        services=[*services, *(() if side is None else side.services)],
        limits=link_limits(config, DRAIN_S),
    )
    return transport, side


async def _connect(transport: GrpcTransport, side: Side, stack: AsyncExitStack) -> None:
    if side is not None:
        # After the transport, which may owe something to peers behind the relay.
        stack.push_async_callback(side.close)
    await transport.start()
    if side is not None:
        side.start(transport)


def _audit(config: PartyFile, signing: SigningIdentity, store: Store, clock: Clock) -> AuditFile:
    kept = store.heads.of(config.me)
    return AuditFile(
        config.folder / "audit",
        config.me,
        sign=lambda body: signing.sign(AUDIT_HEAD, body),
        verify=lambda signature, body: signing.verify_own(AUDIT_HEAD, signature, body),
        clock=clock,
        known=None if kept is None else Head(config.me, *kept),
    )


def _operators(config: PartyFile) -> tuple[PartyId, ...]:
    return tuple(PartyId(name) for name in config.trust.operators)


def _stop_on_signals(shut_down: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shut_down.set)


def _stop_with_parent(shut_down: asyncio.Event) -> None:
    """Stop when standard input ends: whoever holds its other end has gone."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def look() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            shut_down.set()

    loop.add_reader(descriptor, look)


def _say_ready(config: PartyFile, running: Running) -> Path:
    transport, figures = running.transport, running.figures
    host, port = config.listen.host, transport.port
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if not config.listens:
        address = RELAYED + config.me
    said = {"ready": config.me, "address": address, "pid": os.getpid()}
    if transport.local is not None:
        said["local"] = f"unix:{transport.local}"  # the way for commands on this machine
    if figures:
        said["metrics"] = f"http://{config.metrics.host}:{figures}/metrics"
    if running.questions and config.verify is not None:
        said["verify"] = config.verify.address(running.questions)
    text = json.dumps(said)
    path = config.folder / "ready.json"
    replace_file(path, text.encode() + b"\n")
    print(text, flush=True)
    return path
