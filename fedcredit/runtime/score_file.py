"""`[score]` of party.toml: whether a party lets have its parts of encrypted scores, and on which conditions.

```toml
[score]
region = "nanjing"                      # whose consents count
refresh_hours = 24                      # a table in a database or behind an interface is read again so often
min_providers = 2                       # how many providers have to answer together, this one among them
max_rows = 4096                         # subjects of one request
table = "applicants"                    # a [tables.NAME] to score from; left out: the one that the model's job read
```

A file is read again when it has changed. Who may have scores of which model is policy.toml's,
`fedcredit.runtime.model_rules_file`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated

from pydantic import Field

from fedcredit.runtime.catalog_file import REGIONS
from fedcredit.runtime.table_file import Name
from fedcredit.runtime.toml import Reader, Section, nearest
from fedcredit.wire.score import MAX_PROVIDERS
from fedcredit.wire.scoring import MAX_CALL_ROWS

__all__ = ["ScoreSection", "read_score"]


class ScoreSection(Section):
    """`[score]`: encrypted scores."""

    region: Annotated[str, Field(min_length=1, max_length=64)]
    refresh_hours: Annotated[int, Field(ge=1, le=8760)] = 24
    min_providers: Annotated[int, Field(ge=1, le=MAX_PROVIDERS)] = 2
    max_rows: Annotated[int, Field(ge=1, le=MAX_CALL_ROWS)] = MAX_CALL_ROWS
    table: Name | None = None


def read_score(reader: Reader, kind: str | None, tables: Container[str]) -> ScoreSection | None:
    """The section, if there is one; `tables` are those that are declared. Problems are noted at `reader`."""
    if "score" not in reader.raw:
        return None
    section = reader.section("score", reader.raw["score"], ScoreSection)
    if kind == "platform":
        reader.report("CONFIG_CONFLICT", "score", "a platform has no part of a score", "drop [score]")
    if section is not None and section.region not in REGIONS:
        close = nearest(section.region, REGIONS)
        fix = f"did you mean {close!r}?" if close else f"known: {', '.join(REGIONS)}"
        reader.report("CONFIG_VALUE", "score.region", "is no region that is shipped", fix)
    if section is not None and section.table is not None and section.table not in tables:
        fix = f"declare [tables.{section.table}], with the columns of the one that the job read"
        reader.report("CONFIG_CONFLICT", "score.table", "names a table that is not declared", fix)
    return section
