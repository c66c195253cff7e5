"""`[store]` of party.toml: where a node keeps its jobs, when not in the file `store.sqlite` of its own folder.

```toml
[store]
url_file = "keys/store.url"             # mode 0600; one line: postgresql://USER:PASSWORD@HOST:PORT/DATABASE
tls = "verify-full"                     # what the URL must ask for beyond this machine; or "require"
```

The URL holds a password, so it stands in no party.toml. `FEDCREDIT_STORE__URL` in the environment gives it, too. For
a server that is not this machine it says `?sslmode=verify-full`. With `tls = "require"` the URL may say so as well, or
`verify-ca`: the line is encrypted, and nobody proves that the server at its end is the one that was meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from fedcredit.errors import Problem
from fedcredit.runtime.toml import Reader, Section
from fedcredit.tables.remote.hosts import on_this_machine

__all__ = ["STORE_VARIABLE", "StoreSection", "read_store_url"]

STORE_VARIABLE = "FEDCREDIT_STORE__URL"

_MAX_URL_CHARACTERS = 4096
_URL = re.compile(r"(postgresql://[^\s]+|sqlite:////[^\s]+)")


class StoreSection(Section):
    """`[store]`: nothing for SQLite in the node's folder."""

    url_file: str | None = None
    tls: Literal["verify-full", "require"] = "verify-full"


def read_store_url(reader: Reader, section: StoreSection, environment: Mapping[str, str]) -> str | None:
    """The URL of the store, if one is given; the environment comes first. A bad one is noted, never repeated."""
    if (given := environment.get(STORE_VARIABLE)) is not None:
        return _checked(reader, given, section, environment, f"environment: {STORE_VARIABLE}", None)
    if section.url_file is None:
        return None
    try:
        with (reader.path.parent / section.url_file).open(encoding="utf-8") as file:
            text = file.read(_MAX_URL_CHARACTERS + 1)
    except (OSError, ValueError):
        return None  # the path is checked, and noted, with the other paths
    return _checked(reader, text.strip(), section, environment, "", "store.url_file")


def _checked(
    reader: Reader, url: str, section: StoreSection, environment: Mapping[str, str], where: str, key: str | None
) -> str | None:
    code, what, fix = (
        "CONFIG_VALUE",
        "is no address of a database",
        "one line: postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    )
    if len(url) <= _MAX_URL_CHARACTERS and _URL.fullmatch(url):
        if url.startswith("sqlite:") or _is_protected(url, section, environment):
            return url
        code, what = "CONFIG_INSECURE", "leads to another machine without proof of which"
        fix = "end the URL with ?sslmode=verify-full (and &sslrootcert=FILE); see tls of [store]"
    if key is None:
        reader.problems.append(Problem(code, where, what, fix))
    else:
        reader.report(code, key, f"the file's content {what}", fix)
    return None


def _is_protected(url: str, section: StoreSection, environment: Mapping[str, str]) -> bool:
    """Whether nobody between this node and the server of the store can take its place."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        parts = conninfo_to_dict(url)
    except ProgrammingError:
        return False
    # libpq looks for what the URL leaves out in the environment; a service may name any server.
    hosts = [parts.get(name) or environment.get(f"PG{name.upper()}") or "" for name in ("hostaddr", "host")]
    if not parts.get("service") and on_this_machine(str(hosts[0] or hosts[1])):
        return True
    enough = {"verify-full"} if section.tls == "verify-full" else {"verify-full", "verify-ca", "require"}
    return parts.get("sslmode") in enough
