"""How a node says how it is, and how it ends: health by gRPC, `node status`, and SIGTERM under load."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
from e2e.conftest import run_cli, write_job, write_tables
from grpc_health.v1 import health_pb2
from transport_consortium import QUICK
from transport_toys import A, B

from fedcredit.errors import PeerLost
from fedcredit.ids import PartyId
from fedcredit.node.local import Consortium
from fedcredit.node.own_node import OwnNode
from fedcredit.node.pki import Authority
from fedcredit.node.serve.health import LIVE, Health, Look, ask_health
from fedcredit.observe import metrics
from fedcredit.runtime.config import load_job, load_party
from fedcredit.transport.grpc import GrpcTransport

pytestmark = pytest.mark.anyio
TAX = PartyId("tax")

MODEL = """[[model]]
kind = "gbdt"
num_trees = 2000
max_depth = 3
"""


async def until_health(node: OwnNode, ready: bool) -> tuple[str, ...]:
    """Wait until the node says so; the test's own timeout bounds it."""
    while True:
        found, reasons = await node.health()
        if found is ready:
            return reasons
        await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_node_says_whether_it_takes_work(tmp_path: Path) -> None:
    write_tables(tmp_path, {"bank": (0, 300), "tax": (100, 400)})
    async with Consortium(load_job(write_job(tmp_path, ["bank", "tax"])), tmp_path / "out") as consortium:
        folder = consortium.folder(TAX)
        said = await asyncio.to_thread(run_cli, "node", "status", folder)
        assert (said.returncode, said.stdout, said.stderr) == (0, "tax: ready\n", "")
        async with OwnNode(load_party(folder)) as node:
            (folder / "audit").rename(folder / "elsewhere")
            assert await until_health(node, ready=False) == ("AUDIT_UNAVAILABLE",)
            said = await asyncio.to_thread(run_cli, "node", "status", folder)
            assert (said.returncode, said.stdout) == (69, "tax: not ready: AUDIT_UNAVAILABLE\n")
            (folder / "elsewhere").rename(folder / "audit")
            assert await until_health(node, ready=True) == ()
        await consortium.stop()
        down = await asyncio.to_thread(run_cli, "node", "status", folder)
        assert down.returncode == 78
        assert "NODE_DOWN" in down.stderr
        lines = [json.loads(line) for line in (tmp_path / "out" / "logs" / "tax.log").read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert events.index("node.not_ready") < events.index("node.well_again") < events.index("node.draining")
    assert events[-1] == "node.stopped"
    assert {line["party"] for line in lines} == {"tax"}
    assert not [line for line in lines if "refused" in line]


@pytest.mark.slow
@pytest.mark.parametrize("repetition", range(3))
async def test_a_node_under_load_ends_in_good_order_and_in_time(tmp_path: Path, repetition: int) -> None:
    write_tables(tmp_path, {"bank": (0, 3000), "tax": (0, 3000)})
    job = load_job(write_job(tmp_path, ["bank", "tax"], MODEL))
    async with Consortium(job, tmp_path / "out") as consortium:
        training = asyncio.Event()
        running = asyncio.create_task(
            consortium.run(lambda event: training.set() if event.stage.startswith("gbdt") else None)
        )
        await asyncio.wait((asyncio.create_task(training.wait()), running), return_when=asyncio.FIRST_COMPLETED)
        assert training.is_set()
        folder = consortium.folder(TAX)
        pid = json.loads((folder / "ready.json").read_text())["pid"]
        answered = [asyncio.Event() for _ in range(4)]
        asking = [asyncio.create_task(ask_on(folder, first)) for first in answered]
        await asyncio.gather(*(first.wait() for first in answered))
        await asyncio.sleep(0.3 * repetition)
        began = time.monotonic()
        os.kill(pid, signal.SIGTERM)
        status = await consortium.children[TAX].process.wait()
        took = time.monotonic() - began
        for task in asking:
            assert (await task) > 0
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    log = (tmp_path / "out" / "logs" / "tax.log").read_text()
    assert status == 0, log
    # Ten seconds are promised; what more there is belongs to a machine that does other things as well.
    assert took < 12, log
    assert not (folder / "ready.json").exists()
    assert "node.stopped" in log
    assert "call.bug" not in log


async def ask_on(folder: Path, answered: asyncio.Event) -> int:
    """Ask a node how it is, again and again until it is gone; how often it answered. The first time is told."""
    answers = 0
    async with OwnNode(load_party(folder)) as node:
        while True:
            try:
                await ask_health(node._way(), timeout_s=20)
            except PeerLost:
                return answers
            answers += 1
            answered.set()


@pytest.fixture
async def asked() -> AsyncIterator[tuple[dict[str, bool], Health, GrpcTransport, GrpcTransport]]:
    """A's way to B, whose health depends on the flags."""
    authority, flags, health = Authority.create(), {"FAULT": True, "OTHER": True}, Health()
    server = GrpcTransport(B, authority.credentials(B), services=[health.service], limits=QUICK)
    await health.start(tuple(Look(code, lambda code=code: 1 / flags[code] == 1) for code in flags))
    await server.start()
    client = GrpcTransport(A, authority.credentials(A), peers={B: f"127.0.0.1:{server.port}"})
    yield flags, health, server, client
    await health.stop()
    await asyncio.gather(server.close(), client.close())


async def test_readiness_and_liveness_are_two_things(asked) -> None:
    flags, health, _, client = asked
    decode = health_pb2.HealthCheckResponse.FromString
    encode = health_pb2.HealthCheckRequest.SerializeToString
    connection = client.connection(B)
    watch = connection.unary_stream("/grpc.health.v1.Health/Watch", encode, decode)
    seen = watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
    assert (await seen.read()).status == 1
    assert await ask_health(connection) == (True, ())

    flags["FAULT"] = False  # the look raises, which is no better than False
    assert (await seen.read()).status == 2
    assert await ask_health(connection) == (False, ("FAULT",))
    check = connection.unary_unary("/grpc.health.v1.Health/Check", encode, decode)
    assert (await check(health_pb2.HealthCheckRequest(service=LIVE), timeout=20)).status == 1

    await health.refuse("DRAINING")
    flags["FAULT"] = True
    while health.reasons != ("DRAINING",):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    assert await ask_health(connection) == (False, ("DRAINING",))
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await check(health_pb2.HealthCheckRequest(service="nothing"), timeout=20)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_strangers_are_told_nothing_of_a_nodes_health(asked) -> None:
    _, _, server, _ = asked
    stranger = GrpcTransport(A, Authority.create().credentials(A), peers={B: f"127.0.0.1:{server.port}"})
    with pytest.raises(PeerLost):
        await ask_health(stranger.connection(B))
    await stranger.close()


@pytest.mark.parametrize(("status", "expected"), [(0, 0), (75, 75)])
async def test_a_thread_that_computes_on_does_not_hold_the_process(status: int, expected: int) -> None:
    code = (
        "import threading, time; from fedcredit.node.serve.ending import leave_within;"
        f"threading.Thread(target=time.sleep, args=(600,)).start(); leave_within(0.2, {status})"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], timeout=500, check=False, capture_output=True
    )
    assert done.returncode == expected


@pytest.mark.slow
async def test_figures_are_served_where_that_is_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tables(tmp_path, {"bank": (0, 300), "tax": (100, 400)})
    consortium = Consortium(load_job(write_job(tmp_path, ["bank", "tax"])), tmp_path / "out")
    write = consortium._write_node
    monkeypatch.setattr(
        consortium,
        "_write_node",
        lambda party, authority, tables: write(party, authority, tables | {"metrics": {"listen": "127.0.0.1:0"}}),
    )
    async with consortium:
        await consortium.run()
        said = json.loads((consortium.folder(TAX) / "ready.json").read_text())
        async with httpx.AsyncClient() as client:
            while True:
                text = (await client.get(said["metrics"], timeout=20)).text
                if 'fedcredit_jobs{state="succeeded"} 1.0' in text:
                    break
                await asyncio.sleep(0.2)
    for line in (
        'fedcredit_job_bytes_total{direction="sent",peer="bank"}',
        'fedcredit_job_bytes_total{direction="received",peer="bank"}',
        'fedcredit_rounds_total{peer="bank"}',
        'fedcredit_stage_seconds_count{kind="align"} 1.0',
        'fedcredit_control_calls_total{code="OK",method="Start"} 1.0',
        'fedcredit_peer_connected{peer="bank"}',
        'fedcredit_queued_bytes{peer="bank"} 0.0',
        'fedcredit_store_seconds_count{kind="write"}',
        "fedcredit_certificate_seconds",
        "fedcredit_audit_entries",
        "fedcredit_ready 1.0",
        "process_resident_memory_bytes",
        "process_open_fds",
    ):
        assert line in text, text
    job = next((tmp_path / "out" / "parties" / "tax" / "jobs").iterdir()).name
    assert job not in text
    labels = set(re.findall(r"\{([^}]*)\}", text))
    assert all(re.fullmatch(r'(?:\w+="[\w.+]*",?)+', label) for label in labels), labels


def test_every_figure_is_described() -> None:
    described = (Path(__file__).parents[2] / "docs" / "observability.md").read_text()
    for family in metrics.REGISTRY.collect():
        assert family.name.startswith("process_") or f"`{family.name}" in described, family.name
    assert {metrics.stage_kind(stage) for stage in ("align", "gbdt.0/tree.7", "secret-name")} == {"align", "model"}
