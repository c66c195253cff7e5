"""`[store]` of party.toml: where a node keeps its jobs, when not in the file `store.sqlite` of its own folder.

```toml
[store]
url_file = "keys/store.url"             # mode 0600; one line: postgresql://USER:PASSWORD@HOST:PORT/DATABASE
```

The URL holds a password, so it stands in no party.toml. `FEDCREDIT_STORE__URL` in the environment gives it, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from fedcredit.errors import Problem
from fedcredit.runtime.toml import Reader, Section

__all__ = ["STORE_VARIABLE", "StoreSection", "read_store_url"]

STORE_VARIABLE = "FEDCREDIT_STORE__URL"

_MAX_URL_CHARACTERS = 4096
_URL = re.compile(r"(postgresql://[^\s]+|sqlite:////[^\s]+)")


class StoreSection(Section):
    """`[store]`: nothing for SQLite in the node's folder."""

    url_file: str | None = None


def read_store_url(reader: Reader, section: StoreSection, environment: Mapping[str, str]) -> str | None:
    """The URL of the store, if one is given; the environment comes first. A bad one is noted, never repeated."""
    if (given := environment.get(STORE_VARIABLE)) is not None:
        return _checked(reader, given, f"environment: {STORE_VARIABLE}", None)
    if section.url_file is None:
        return None
    try:
        with (reader.path.parent / section.url_file).open(encoding="utf-8") as file:
            text = file.read(_MAX_URL_CHARACTERS + 1)
    except (OSError, ValueError):
        return None  # the path is checked, and noted, with the other paths
    return _checked(reader, text.strip(), "", "store.url_file")


def _checked(reader: Reader, url: str, where: str, key: str | None) -> str | None:
    if len(url) <= _MAX_URL_CHARACTERS and _URL.fullmatch(url):
        return url
    what, fix = "is no address of a database", "one line: postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
    if key is None:
        reader.problems.append(Problem("CONFIG_VALUE", where, what, fix))
    else:
        reader.report("CONFIG_VALUE", key, f"the file's content {what}", fix)
    return None
