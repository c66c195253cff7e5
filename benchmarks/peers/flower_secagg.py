"""Flower's SecAgg+ with all its parties in one process, for `fedcredit bench aggregate`; run by an own environment.

    python flower_secagg.py PARTIES LENGTH THRESHOLD LOST_BEFORE LOST_AFTER

Drives what Flower ships: `SecAggPlusWorkflow` at the server, `secaggplus_mod` at each client, its default parameters
(clipping at 8, 2^22 levels, modulus 2^32), every party a neighbour of every other (`num_shares` 1.0). LOST_BEFORE
parties take part up to the shares of keys and never send a masked vector; LOST_AFTER send one and are not there to
unmask. Clients of a stage run on as many threads as there are processors; numpy and OpenSSL let go of the interpreter.

Prints one JSON object for each line that it reads, and ends with its standard input. `seconds`: from float32 vectors
at the clients to the mean at the server: keys, shares, quantisation, masks, sum, unmasking. `serialised`: the same with
every message made to bytes and read again, by Flower's protobuf, as over a network; `processor` is of that. In neither:
sockets, TLS, Flower's processes, starting it, sending the model to clients (they get an empty one), and the strategy's
own mean over clients, which SecAgg+ makes of equal vectors. `bytes`: of all messages, both ways, as protobuf. `error`:
the largest difference from the mean in the clear, which stochastic rounding makes. Its masks are numpy's Mersenne
Twister under 32 bits of seed, which hides little.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np

os.environ["FLWR_TELEMETRY_ENABLED"] = "0"

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.client.mod import secaggplus_mod
from flwr.common import FitIns, FitRes, Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.common.typing import Code, Status
from flwr.compat.common.recorddict_compat import fitres_to_recorddict
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.supercore.task_identity import TaskIdentity

WEIGHT = 1000
UNAVAILABLE = 5


class Clients:
    """In place of Flower's `Grid`: hands a stage's messages to its clients, and their replies back."""

    def __init__(self, vectors: list[np.ndarray], before: set[int], after: set[int]) -> None:
        self.lost = {Stage.COLLECT_MASKED_VECTORS: before, Stage.UNMASK: before | after}
        self.contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in range(1, len(vectors) + 1)}
        # What a client's own training would hand over; made before the clock starts.
        self.trained = {
            node: fitres_to_recorddict(
                FitRes(Status(Code.OK, ""), ndarrays_to_parameters([vector]), WEIGHT, {}), keep_input=False
            )
            for node, vector in enumerate(vectors, 1)
        }
        self.bytes = 0
        self.serialising = 0.0
        self.pool = ThreadPoolExecutor(os.cpu_count())

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> list[Message]:
        """Run one stage at all clients."""
        stage = None
        arrived = []
        for message in messages:
            stage = message.content.config_records[RECORD_KEY_CONFIGS][Key.STAGE]
            arrived.append(self._carried(message))
        lost = self.lost.get(stage, set())
        replies = list(self.pool.map(lambda message: self._answer(message, lost), arrived))
        return [reply if reply.has_error() else self._carried(reply) for reply in replies]

    def _answer(self, message: Message, lost: set[int]) -> Message:
        node = message.metadata.dst_node_id
        if node in lost:
            return Message(Error(UNAVAILABLE), reply_to=message)
        return secaggplus_mod(message, self.contexts[node], self._train)

    def _train(self, message: Message, context: Context) -> Message:
        return Message(self.trained[context.node_id], reply_to=message)

    def _carried(self, message: Message) -> Message:
        # Also without the bytes a client needs a copy of its own: it takes entries out of what it gets.
        begun = time.perf_counter()
        data = message_to_proto(message).SerializeToString()
        copy = message_from_proto(ProtoMessage.FromString(data))
        self.bytes += len(data)
        self.serialising += time.perf_counter() - begun
        return copy


class Strategy:
    """All clients take part, and the sum is taken as it comes."""

    def __init__(self, parties: int) -> None:
        self.proxies = [SimpleNamespace(node_id=node) for node in range(1, parties + 1)]
        self.mean: np.ndarray | None = None

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: Any) -> list[Any]:
        """Ask every client for its vector, with an empty model."""
        return [(proxy, FitIns(Parameters([], "numpy.ndarray"), {})) for proxy in self.proxies]

    def aggregate_fit(self, server_round: int, results: list[Any], failures: list[Any]) -> tuple[None, dict[str, Any]]:
        """Keep the mean that SecAgg+ put in place of every client's vector."""
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}


def one_run(vectors: list[np.ndarray], threshold: int, before: int, after: int) -> dict[str, float]:
    """One sum, from the vectors to their mean at the server."""
    parties = len(vectors)
    gone = {"before": set(range(2, 2 + before)), "after": set(range(2 + before, 2 + before + after))}
    clients, strategy = Clients(vectors, **gone), Strategy(parties)
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy)
    context.client_manager.num_available = lambda: parties
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: 1})
    context.state.array_records[MAIN_PARAMS_RECORD] = ArrayRecord()
    workflow = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=threshold / parties)
    begun, spent = time.perf_counter(), time.process_time()
    workflow(clients, context)
    seconds, spent = time.perf_counter() - begun, time.process_time() - spent
    if strategy.mean is None:
        raise SystemExit("flower: the sum was not completed")
    expected = np.mean([vector for node, vector in enumerate(vectors, 1) if node not in gone["before"]], axis=0)
    return {
        "seconds": seconds - clients.serialising,
        "serialised": seconds,
        "processor": spent,
        "bytes": clients.bytes,
        "error": float(np.abs(strategy.mean - expected).max()),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def main() -> None:
    """Run what the command line names."""
    parties, length, threshold, before, after = map(int, sys.argv[1:])
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, parties + 1
    random = np.random.default_rng(1)
    vectors = [random.uniform(-1, 1, length).astype(np.float32) for _ in range(parties)]
    for _ in sys.stdin:
        print(json.dumps(one_run(vectors, threshold, before, after)), flush=True)


if __name__ == "__main__":
    main()
