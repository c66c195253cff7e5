"""One party of an intersection by SecretFlow SPU, for `benchmarks/intersect.py`; run by the peers' own environment.

    python spu_party.py RANK PORT,PORT TABLE.csv OUT.csv PROTOCOL SETTING

Paths must be absolute. PROTOCOL is rr22, kkrt or ecdh; SETTING is default, best or low_comm. Prints one JSON object:
seconds of the call, peak memory, rows in common.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from spu import libspu, psi


def main() -> None:
    """Run the party that the command line names."""
    rank, ports, table, out, protocol, setting = sys.argv[1:]
    desc = libspu.link.Desc()
    for number, port in enumerate(ports.split(",")):
        desc.add_party(f"party{number}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(desc, int(rank))
    kind = {
        "rr22": psi.PsiProtocol.PROTOCOL_RR22,
        "kkrt": psi.PsiProtocol.PROTOCOL_KKRT,
        "ecdh": psi.PsiProtocol.PROTOCOL_ECDH,
    }[protocol]
    settings = {"protocol": kind, "receiver_rank": 0}
    if protocol == "rr22":
        settings["rr22_params"] = psi.Rr22Rarams(low_comm_mode=setting == "low_comm")
    if protocol == "ecdh":
        settings["ecdh_params"] = psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519)
    best = setting == "best"
    config = psi.PsiExecuteConfig(
        protocol_conf=psi.PsiProtocolConfig(**settings),
        input_params=psi.InputParams(path=table, selected_keys=["uscc"], keys_unique=best),
        output_params=psi.OutputParams(path=out, disable_alignment=best),
    )
    begun = time.perf_counter()
    report = psi.psi_execute(config, link)
    seconds = time.perf_counter() - begun
    found = {
        "seconds": seconds,
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "common": report.intersection_count,
    }
    print(json.dumps(found), flush=True)
    link.stop_link()


if __name__ == "__main__":
    main()
