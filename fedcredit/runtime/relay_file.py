"""`[relay]` of party.toml: for a department that may only dial out, and for the platform that carries its links.

At the department; without `[listen]` it listens nowhere:

```toml
[relay]
via = "platform"                        # joins this peer's relay, and takes the calls that come through it
outbound = "relay"                      # relay: dials nobody else; direct: peers that have a host:port straight
[peers]
platform = "platform.example:7443"
```

At the platform:

```toml
[relay]
serve = true                            # carry bytes between the peers; the platform cannot read or change them
connections = 32                        # of one member at once
bytes_per_s = 0                         # of one member; 0: no bound
may_dial = { bank = ["tax"], tax = ["bank"] }  # without it, every peer may call every other
[peers]
tax = "relay://tax"                     # reached through the relay
bank = "bank.example:7443"
```

A party that listens itself needs no `[relay]` to dial a peer at `relay://`, only the platform among its `[peers]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from fedcredit.runtime.table_file import Name
from fedcredit.runtime.toml import Reader, Section
from fedcredit.transport.address import RELAYED

__all__ = ["RelaySection", "check_relay"]


class RelaySection(Section):
    """`[relay]`: use one (`via`), or be one (`serve`)."""

    via: Name | None = None
    outbound: Literal["relay", "direct"] = "relay"
    serve: bool = False
    connections: Annotated[int, Field(ge=1, le=1024)] = 32
    bytes_per_s: Annotated[int, Field(ge=0)] = 0
    may_dial: dict[Name, Annotated[tuple[Name, ...], Field(strict=False)]] | None = None


def check_relay(reader: Reader, relay: RelaySection, me: str, kind: str, peers: Mapping[str, str]) -> None:
    """Note what does not fit together: with the party's kind, and with what is said of its peers."""
    for peer, address in peers.items():
        if address.startswith(RELAYED) and address != RELAYED + peer:
            reader.report("CONFIG_CONFLICT", f"peers.{peer}", "names another party", f'say "{RELAYED}{peer}"')
    if kind == "platform":
        _check_platform(reader, relay, me, peers)
    else:
        _check_member(reader, relay, peers)


def _check_platform(reader: Reader, relay: RelaySection, me: str, peers: Mapping[str, str]) -> None:
    if relay.via is not None:
        reader.report("CONFIG_CONFLICT", "relay.via", "a platform joins no relay", "drop it, or say serve = true")
    relayed = [peer for peer, address in peers.items() if address.startswith(RELAYED)]
    if relayed and not relay.serve:
        what = f"no relay is served through which {relayed[0]} could be reached"
        reader.report("CONFIG_CONFLICT", f"peers.{relayed[0]}", what, "add [relay] with serve = true")
    for caller, called in (relay.may_dial or {}).items():
        for name in (caller, *called):
            if name not in peers and name != me:
                reader.report("CONFIG_CONFLICT", f"relay.may_dial.{caller}", f"{name} is no peer", "add it to [peers]")


def _check_member(reader: Reader, relay: RelaySection, peers: Mapping[str, str]) -> None:
    if relay.serve or relay.may_dial is not None:
        key = "relay.serve" if relay.serve else "relay.may_dial"
        reader.report("CONFIG_CONFLICT", key, "only a platform serves a relay", "drop it")
    if relay.via is not None and relay.via not in peers:
        reader.report("CONFIG_MISSING_KEY", f"peers.{relay.via}", "is missing", f'add {relay.via} = "host:port"')
    elif relay.via is not None and peers[relay.via].startswith(RELAYED):
        reader.report("CONFIG_CONFLICT", f"peers.{relay.via}", "a relay is reached directly", "give its host:port")
