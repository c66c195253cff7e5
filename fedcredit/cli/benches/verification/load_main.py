"""The generator's process: a load as JSON on standard input, what came of it as JSON on standard output.

A load has `port`, `method`, `pool` (a file of messages, see `write_pool`), and the fields of `kernels.load.Load` but
for `provider`, which is the setting's where anything is to be checked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fedcredit.cli.benches.verification.setting import BANK, PROVIDER, certificate_der, key_der
from fedcredit.governance.audit import VERIFY_LOG, origin_of
from fedcredit.kernels.load import Buckets, Load, Outcome, Target, quantile, run
from fedcredit.node.pki import load_certificate
from fedcredit.transport.identity import party_host

__all__ = ["main", "read_pool", "write_pool"]

_QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}


def main() -> None:
    """Run the load that standard input says."""
    folder = Path(sys.argv[1])
    told = json.load(sys.stdin)
    target = Target(
        address=f"127.0.0.1:{told.pop('port')}",
        name=party_host(PROVIDER),
        certificate=certificate_der(folder / PROVIDER / "tls.crt"),
        chain=(certificate_der(folder / BANK / "tls.crt"),),
        key=key_der(folder / BANK / "tls.key"),
        path=f"/fedcredit.v1.VerificationService/{told.pop('method')}",
    )
    pool = read_pool(folder / told.pop("pool"))
    if told.get("check_every"):
        public = load_certificate(folder / PROVIDER / "signing.crt").public_key()
        if not isinstance(public, Ed25519PublicKey):
            raise TypeError("the provider's signing key is not Ed25519")
        told["provider"] = (PROVIDER, origin_of(PROVIDER, VERIFY_LOG), public.public_bytes_raw())
    begun, cpu = time.perf_counter(), time.process_time()
    outcome = run(target, pool, Load(**told))
    used = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - begun}
    json.dump(_told(outcome) | used, sys.stdout)


def write_pool(path: Path, messages: Sequence[bytes]) -> None:
    """Write messages to a file, each behind its length."""
    with path.open("wb") as file:
        for message in messages:
            file.write(len(message).to_bytes(4, "little"))
            file.write(message)


def read_pool(path: Path) -> list[bytes]:
    """The messages in a file."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        found.append(data[at + 4 : end])
        at = end
    return found


def _told(outcome: Outcome) -> dict[str, Any]:
    """Milliseconds by quantile, and counts; keys of objects are texts in JSON."""
    return {
        "latencies": {str(status): _quantiles(buckets) for status, buckets in outcome.latencies.items()},
        "delays": _quantiles(outcome.delays),
        "ended": {str(status): count for status, count in outcome.ended.items()},
        "unsent": outcome.unsent,
        "lost": outcome.lost,
        "broken": outcome.broken,
        "checked": outcome.checked,
        "wrong": outcome.wrong,
        "bytes": outcome.bytes_out + outcome.bytes_in,
        "seconds": outcome.seconds,
    }


def _quantiles(buckets: Buckets) -> dict[str, float]:
    if not buckets:
        return {"count": 0}
    return {name: round(quantile(buckets, share) / 1e6, 4) for name, share in _QUANTILES.items()} | {
        "count": sum(count for _, count in buckets)
    }


if __name__ == "__main__":
    main()
