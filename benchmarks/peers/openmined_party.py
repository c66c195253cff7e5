"""Client and server of an intersection by OpenMined PSI in one process; run by the peers' own environment.

    python openmined_party.py CLIENT.csv SERVER.csv

Prints one JSON object: seconds from the files to the common rows, peak memory, rows in common, bytes of the messages.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import private_set_intersection.python as psi


def main() -> None:
    """Run both ends."""
    begun = time.perf_counter()
    client_ids, server_ids = (
        [line.partition(",")[0] for line in Path(name).read_text().splitlines()[1:]] for name in sys.argv[1:]
    )
    client, server = psi.client.CreateWithNewKey(True), psi.server.CreateWithNewKey(True)
    setup = server.CreateSetupMessage(1e-12, len(client_ids), server_ids, psi.DataStructure.GCS)
    request = client.CreateRequest(client_ids)
    response = server.ProcessRequest(request)
    common = client.GetIntersection(setup, response)
    seconds = time.perf_counter() - begun
    n_bytes = sum(len(message.SerializeToString()) for message in (setup, request, response))
    rss = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    print(json.dumps({"seconds": seconds, "bytes": n_bytes, "rss_mib": rss, "common": len(common)}))


if __name__ == "__main__":
    main()
