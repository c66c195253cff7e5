"""party.toml: who a node is, where it listens, which keys and which table are its own.

```toml
[party]
id = "tax"
kind = "provider"                       # provider | institution | platform
[listen]
host = "127.0.0.1"                      # loopback unless told otherwise
port = 7443                             # 0: any free port, written to ready.json
[identity]                              # see fedcredit.runtime.identity_file; and [trust], [enrol]
certificate = "keys/tls.crt"
[trust]
platform = "platform"
[tables.enterprise_tax]                 # see fedcredit.runtime.table_file; [table] is short for [tables.main]
table = "tax.csv"                       # not at a platform
id = "uscc"
[limits]
peer_timeout_s = 600.0
[relay]                                 # see fedcredit.runtime.relay_file; instead of [listen] where none may dial in
via = "platform"
[store]                                 # see fedcredit.runtime.store_file; PostgreSQL instead of a file in the folder
url_file = "keys/store.url"
[consent]                               # at a platform: see fedcredit.runtime.consent_file
[log]                                   # see fedcredit.runtime.observe_file, also for [metrics]
level = "info"
[verify]                                # see fedcredit.runtime.verify_file; where questions are answered
region = "nanjing"
```

`FEDCREDIT_<SECTION>__<KEY>` in the environment overrides a key, e.g. FEDCREDIT_LISTEN__PORT=7444.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field

from fedcredit.errors import Problem
from fedcredit.ids import PartyId
from fedcredit.runtime.clock import clock_synchronised
from fedcredit.runtime.consent_file import ConsentSection
from fedcredit.runtime.identity_file import (
    EnrolSection,
    IdentitySection,
    TrustSection,
    check_enrol,
    check_file,
    read_identity,
)
from fedcredit.runtime.observe_file import LogSection, MetricsSection
from fedcredit.runtime.relay_file import RelaySection, check_relay
from fedcredit.runtime.score_file import ScoreSection, read_score
from fedcredit.runtime.store_file import STORE_VARIABLE, StoreSection, read_store_url
from fedcredit.runtime.table_file import MAIN_TABLE, Name, TableSection
from fedcredit.runtime.toml import Reader, Section, nearest
from fedcredit.runtime.verify_file import VerifySection, read_verify
from fedcredit.transport.address import ADDRESS

__all__ = [
    "EnrolSection",
    "IdentitySection",
    "LimitsSection",
    "ListenSection",
    "PartyFile",
    "PartySection",
    "TrustSection",
    "load_party",
    "node_folder",
]

FILE_NAME = "party.toml"

T = TypeVar("T")

Address = Annotated[str, Field(pattern=ADDRESS, max_length=255)]


class PartySection(Section):
    """`[party]`: the node's name, as in its certificate, and what it is."""

    id: Name
    kind: Literal["provider", "institution", "platform"]


class ListenSection(Section):
    """`[listen]`: the node's one port."""

    host: Annotated[str, Field(min_length=1, max_length=255)] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the port."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class LimitsSection(Section):
    """`[limits]`: bounds of time and memory."""

    peer_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 600.0
    lost_after_s: Annotated[float, Field(gt=0, le=86_400)] = 75.0
    slow_after_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    clock_skew_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    memory_mib: Annotated[int, Field(ge=64)] = 1024
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    min_rows: Annotated[int, Field(ge=10)] = 10
    require_synchronised_clock: bool = False
    """Whether a node refuses to start unless the kernel says that a time service keeps the clock."""


class PartyFile(Section):
    """A party file that holds together; paths are absolute."""

    folder: Path
    party: PartySection
    listen: ListenSection
    identity: IdentitySection
    trust: TrustSection
    enrol: EnrolSection
    limits: LimitsSection
    relay: RelaySection
    consent: ConsentSection = Field(default_factory=ConsentSection)
    log: LogSection = Field(default_factory=LogSection)
    metrics: MetricsSection = Field(default_factory=MetricsSection)
    tables: dict[str, TableSection]
    peers: dict[PartyId, Address] = Field(default_factory=dict)
    verify: VerifySection | None = None
    """Which questions about single subjects the node answers; None for none."""

    score: ScoreSection | None = None
    """On which conditions the node lets have its parts of scores; None: it does not."""

    store_url: str | None = Field(default=None, repr=False)
    """Where the node's store is, if not in its folder. It may hold a password."""

    listens: bool = True
    """False for a party that joins a relay and has no `[listen]`."""

    @property
    def me(self) -> PartyId:
        """This node's party."""
        return PartyId(self.party.id)

    def path(self, relative: str) -> Path:
        """A path of the file, made absolute from the node's folder."""
        return (self.folder / relative).absolute()


def node_folder(folder: Path) -> Path:
    """The party file of a node's folder, given the folder or the file itself."""
    return folder if folder.suffix == ".toml" else folder / FILE_NAME


def load_party(
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    synchronised: Callable[[], bool] = clock_synchronised,
) -> PartyFile:
    """Read and check `folder/party.toml` and what it points to. Raises ConfigError with every problem found."""
    reader = Reader(node_folder(folder))
    raw = reader.raw
    sections = (
        "party",
        "listen",
        "identity",
        "trust",
        "enrol",
        "limits",
        "relay",
        "consent",
        "store",
        "log",
        "metrics",
        "table",
        "tables",
        "peers",
        "verify",
        "score",
    )
    reader.known("", raw, sections)
    environment = os.environ if environment is None else environment
    _override(reader, environment, sections)
    party = _required(reader, "party", PartySection)
    listen = reader.section("listen", raw.get("listen", {}), ListenSection)
    identity = read_identity(reader, loopback=listen is None or listen.loopback)
    trust = reader.section("trust", raw.get("trust", {}), TrustSection)
    enrol = reader.section("enrol", raw.get("enrol", {}), EnrolSection)
    limits = reader.section("limits", raw.get("limits", {}), LimitsSection)
    relay = reader.section("relay", raw.get("relay", {}), RelaySection)
    consent = reader.section("consent", raw.get("consent", {}), ConsentSection)
    store = reader.section("store", raw.get("store", {}), StoreSection)
    if store is not None and store.url_file is not None:
        check_file(reader, "store.url_file", store.url_file, "SECRET_READABLE")
    store_url = None if store is None else read_store_url(reader, store, environment)
    if limits is not None and limits.require_synchronised_clock and not synchronised():
        what, fix = "no time service keeps this machine's clock", "start chrony, ntpd or systemd-timesyncd"
        reader.report("CLOCK_UNSYNCHRONISED", "limits.require_synchronised_clock", what, fix)
    log = reader.section("log", raw.get("log", {}), LogSection)
    metrics = reader.section("metrics", raw.get("metrics", {}), MetricsSection)
    tables = _read_tables(reader)
    if party is not None and party.kind == "platform" and tables:
        key = "table" if "table" in raw else "tables"
        reader.report("CONFIG_CONFLICT", key, "a platform carries no data", f"drop [{key}]")
    elif party is not None and party.kind != "platform" and not tables and "verify" not in raw:
        reader.report("CONFIG_MISSING_KEY", "table", "is missing", "add [table] with table and id")
    if party is not None and enrol is not None:
        check_enrol(reader, enrol, party.kind)
    if party is not None and party.kind != "platform" and "consent" in raw:
        reader.report("CONFIG_CONFLICT", "consent", "consents are given at a platform only", "drop [consent]")
    peers = reader.section("", {"peers": raw.get("peers", {})}, _Peers)
    if party is not None and relay is not None and peers is not None:
        check_relay(reader, relay, party.id, party.kind, peers.peers)
    verify = read_verify(reader, None if party is None else party.kind)
    score = read_score(reader, None if party is None else party.kind, tables)
    reader.finish()
    relay = _there(relay)
    return PartyFile(
        folder=reader.path.parent.absolute(),
        party=_there(party),
        listen=_there(listen),
        identity=_there(identity),
        trust=_there(trust),
        enrol=_there(enrol),
        limits=_there(limits),
        relay=relay,
        consent=_there(consent),
        log=_there(log),
        metrics=_there(metrics),
        store_url=store_url,
        listens="listen" in raw or relay.via is None,
        tables={name: table for name, table in tables.items() if table is not None},
        peers={PartyId(name): address for name, address in _there(peers).peers.items()},
        verify=verify,
        score=score,
    )


def _read_tables(reader: Reader) -> dict[str, TableSection | None]:
    """The declared tables by name; None where one could not be read."""
    raw = {f"tables.{name}": (name, value) for name, value in reader.tables("tables").items()}
    if "table" in reader.raw:
        if MAIN_TABLE in reader.raw.get("tables", {}):
            reader.report("CONFIG_CONFLICT", "table", f"is short for [tables.{MAIN_TABLE}], which is there too", "")
        raw["table"] = (MAIN_TABLE, reader.raw["table"])
    tables: dict[str, TableSection | None] = {}
    for key, (name, value) in raw.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name):
            fix = "use a lower-case letter, then up to 31 of a-z 0-9 _ -"
            reader.report("CONFIG_NAME", key, "is not a name of a table", fix)
        tables[name] = table = reader.section(key, value, TableSection)
        if table is not None:
            _check_table(reader, key, table)
    return tables


def _check_table(reader: Reader, key: str, table: TableSection) -> None:
    """Note files that the declaration names and that are not there; what is in them, `fedcredit.tables` checks."""
    if table.table is not None:
        reader.existing(f"{key}.table", table.table)
    for kind, remote, secret in (
        ("postgresql", table.postgresql, "url_file"),
        ("http", table.http, "secret_file"),
    ):
        if remote is None:
            continue
        if remote.ca is not None:
            reader.existing(f"{key}.{kind}.ca", remote.ca)
        if (path := getattr(remote, secret)) is not None:
            check_file(reader, f"{key}.{kind}.{secret}", path, "SECRET_READABLE")


class _Peers(Section):
    peers: dict[Name, Address]


def _there(section: T | None) -> T:
    assert section is not None, "a section that could not be read has noted a problem"
    return section


def _required(reader: Reader, key: str, model: type[PartySection]) -> PartySection | None:
    if key not in reader.raw:
        reader.report("CONFIG_MISSING_KEY", key, "is missing", f"add [{key}]")
        return None
    return reader.section(key, reader.raw[key], model)


def _override(reader: Reader, environment: Mapping[str, str], sections: tuple[str, ...]) -> None:
    known = {
        **{f"party.{name}": None for name in PartySection.model_fields},
        **{f"listen.{name}": None for name in ListenSection.model_fields},
        **{f"identity.{name}": None for name in IdentitySection.model_fields},
        **{f"trust.{name}": None for name in TrustSection.model_fields},
        **{f"enrol.{name}": None for name in EnrolSection.model_fields},
        **{f"limits.{name}": None for name in LimitsSection.model_fields},
        **{f"relay.{name}": None for name in RelaySection.model_fields if name != "may_dial"},
        **{f"consent.{name}": None for name in ConsentSection.model_fields},
        **{f"store.{name}": None for name in StoreSection.model_fields},
        **{f"log.{name}": None for name in LogSection.model_fields},
        **{f"metrics.{name}": None for name in MetricsSection.model_fields},
        **{f"verify.{name}": None for name in ("listen", "region", "refresh_hours")},
        **{f"score.{name}": None for name in ScoreSection.model_fields},
    }
    for variable, text in sorted(environment.items()):
        if not variable.startswith("FEDCREDIT_") or "__" not in variable or variable == STORE_VARIABLE:
            continue
        section, _, key = variable.removeprefix("FEDCREDIT_").lower().partition("__")
        if f"{section}.{key}" not in known:
            close = nearest(f"{section}.{key}", known)
            meant = "" if close is None else f"did you mean FEDCREDIT_{close.upper().replace('.', '__')}?"
            problem = Problem("CONFIG_UNKNOWN_ENV", f"environment: {variable}", "overrides no known key", meant)
            reader.problems.append(problem)
            continue
        values = reader.raw.setdefault(section, {})
        if isinstance(values, dict):
            values[key] = _value(text)


def _value(text: str) -> Any:
    """`text` as TOML would read it, else as plain text: 7444 is a number, 127.0.0.1 is not."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
