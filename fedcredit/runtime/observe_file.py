"""`[log]` and `[metrics]` of party.toml: what a node says of itself, and where.

```toml
[log]
level = "info"                          # debug | info | warning | error
format = "auto"                         # json | text; auto: text for a terminal, else JSON lines
[metrics]
listen = "127.0.0.1:9464"               # Prometheus; off without it. Plain HTTP: keep it on the machine or behind TLS
```
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedcredit.runtime.toml import Section

__all__ = ["LogSection", "MetricsSection"]


class LogSection(Section):
    """`[log]`: lines on standard error; they never hold data, at whatever level."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "text"] = "auto"


class MetricsSection(Section):
    """`[metrics]`: figures for Prometheus."""

    listen: Annotated[str, Field(pattern=r"^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$", max_length=255)] | None = None

    @property
    def host(self) -> str:
        """Where the figures are served; empty if nowhere."""
        return "" if self.listen is None else self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for any free one."""
        return 0 if self.listen is None else int(self.listen.rpartition(":")[2])
