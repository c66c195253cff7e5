"""Three parties that join a platform by the commands that people type; tax may only dial out."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.conftest import ROOT, run_cli, write_tables
from free_ports import free_port

from fedcredit import failpoints
from fedcredit.ids import PartyId
from fedcredit.node.events import ENDS
from fedcredit.node.operator import Operator
from fedcredit.node.processes import Children
from fedcredit.node.trust.keys import following_keyring
from fedcredit.runtime.clock import SystemClock
from fedcredit.runtime.config import load_party
from fedcredit.runtime.policy_template import open_policy
from fedcredit.wire.control import JobEvent

__all__ = ["BANK", "PARTIES", "PLATFORM", "REGISTRY", "TAX", "Newcomers", "newcomers"]

PLATFORM, BANK, TAX, REGISTRY = map(PartyId, ("platform", "bank", "tax", "registry"))
PARTIES = (BANK, TAX, REGISTRY)
END_S = 480.0

LIMITS = "\n[limits]\nlost_after_s = 8\npeer_timeout_s = 100\n"

INIT = """\
begun=
fedcredit party init platform --id platform --kind platform --listen 127.0.0.1:{platform} & begun="$begun $!"
fedcredit party init bank --id bank --kind institution --listen 127.0.0.1:{bank} \\
    --table bank.csv --id-column id --label default & begun="$begun $!"
fedcredit party init registry --id registry --kind provider --listen 127.0.0.1:{registry} \\
    --table registry.csv --id-column id & begun="$begun $!"
fedcredit party init tax --id tax --kind provider --table tax.csv --id-column id --relay \\
    --platform-address 127.0.0.1:{platform} & begun="$begun $!"
for each in $begun; do wait $each; done
"""

JOIN = """\
join() {
    fedcredit platform token platform --party $1 --kind $2 --out $1.token
    fedcredit party enrol $1 --token $1.token
    fedcredit party check $1
}
begun=
join bank institution & begun="$begun $!"
join registry provider & begun="$begun $!"
join tax provider & begun="$begun $!"
for each in $begun; do wait $each; done
"""


class Newcomers:
    """The folders and processes of the four. `bank` is the party that hands in jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.children = folder, Children()
        self._operator: Operator | None = None
        self._starting = asyncio.Lock()

    def shell(self, script: str) -> str:
        """Run `script` in the folder as a person would; what it said. It has to succeed."""
        program = f'fedcredit() {{ {shlex.quote(sys.executable)} -m fedcredit.cli.main "$@"; }}\n'
        done = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{program}{script}"],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def change(self, name: str, *changes: tuple[str, str], more: str = "") -> None:
        """Change party.toml of `name`, as with an editor."""
        path = self.folder / name / "party.toml"
        text = path.read_text()
        for old, new in changes:
            assert old in text, (name, old)
            text = text.replace(old, new)
        path.write_text(text + more)

    def policy(self, name: str, action: str) -> None:
        """Let `name` admit all jobs, or ask its people about each one."""
        path = self.folder / name / "policy.toml"
        path.write_text(open_policy().replace('action = "admit"', f'action = "{action}"'))

    # -- processes ------------------------------------------------------------------------------------------------

    async def up(self, *names: str, plan: str = "") -> None:
        """Start nodes, with the failpoints of `plan`, and wait until they are ready."""
        async with self._starting:
            if plan:
                os.environ |= {failpoints.ALLOW: "1", failpoints.PLAN: plan}
            try:
                started = [
                    await self.children.start(PartyId(name), self.folder / name, self.folder / f"{name}.log")
                    for name in names
                ]
            finally:
                os.environ.pop(failpoints.PLAN, None)
                os.environ.pop(failpoints.ALLOW, None)
        for child in started:
            await self.children.ready(child)

    async def kill(self, name: str) -> None:
        """SIGKILL."""
        process = self.children[PartyId(name)].process
        process.send_signal(signal.SIGKILL)
        assert await asyncio.wait_for(process.wait(), 240) == -signal.SIGKILL

    def ended(self, name: str) -> bool:
        """Whether the process of a node is gone."""
        return self.children[PartyId(name)].process.returncode is not None

    async def killed_itself(self, name: str) -> None:
        """Wait until a failpoint has ended a node."""
        process = self.children[PartyId(name)].process
        assert await asyncio.wait_for(process.wait(), 240) == -signal.SIGKILL

    # -- jobs -----------------------------------------------------------------------------------------------------

    @property
    def operator(self) -> Operator:
        """The bank's people, at the platform."""
        if self._operator is None:
            address = json.loads((self.folder / "platform" / "ready.json").read_text())["address"]
            keyring = following_keyring(load_party(self.folder / "bank"), SystemClock())
            self._operator = Operator(BANK, keyring, PLATFORM, address)
        return self._operator

    async def until(self, job: str, wanted: Callable[[JobEvent], bool]) -> JobEvent:
        """The first event of the job that is `wanted`."""
        seen: list[str] = []
        async with asyncio.timeout(END_S):
            async for event in self.operator.watch(job, patience_s=60):
                seen.append(f"{event.party}: {event.kind} {event.stage} {event.code} {event.culprit}")
                if wanted(event):
                    return event
        raise AssertionError("the job ended without it:\n" + "\n".join(seen[-30:]))

    async def after(self, job: str, stage: str, party: str = BANK) -> None:
        """Wait until `party` has done `stage`."""
        await self.until(job, lambda e: (e.party, e.kind, e.stage) == (party, "done", stage))

    async def end(self, job: str) -> JobEvent:
        """The platform's last word on the job."""
        return await self.until(job, lambda e: e.party == PLATFORM and e.kind == "state" and e.stage in ENDS)

    def show(self, name: str, job: str) -> dict[str, Any]:
        """What `job show` says at the node of `name` of its own part."""
        done = run_cli("job", "show", job, "--node", self.folder / name, "--json")
        assert done.returncode == 0, done.stderr
        own: dict[str, Any] = json.loads(done.stdout)["own"]
        return own

    def models(self, job: str) -> dict[str, bytes]:
        """Every party's part of the model."""
        found = {}
        for party in PARTIES:
            result = self.folder / party / "jobs" / job / "result"
            found |= {f"{party}/{p.name}": p.read_bytes() for p in result.rglob("model/**/*") if p.is_file()}
        return found

    def log(self, name: str) -> str:
        """What the node of `name` had to say."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    async def says(self, name: str, text: str, count: int = 1, timeout_s: float = 240) -> float:
        """Wait until the log of `name` has `text` `count` times; the seconds that it took."""
        begun = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while self.log(name).count(text) < count:  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.05)
        return time.monotonic() - begun

    async def close(self) -> None:
        """End everything."""
        if self._operator is not None:
            await self._operator.close()
        await self.children.stop()


@asynccontextmanager
async def newcomers(folder: Path, sizes: dict[str, tuple[int, int]], plans: dict[str, str]) -> AsyncIterator[Newcomers]:
    """An installation that came up by `party init`, `platform token`, `party enrol`, `party check`, `node up`."""
    write_tables(folder, sizes)
    made = Newcomers(folder)
    try:
        ports = {name: free_port(1) for name in (PLATFORM, BANK, REGISTRY)}  # and the one that newcomers knock at
        made.shell(INIT.format(**ports))
        for name in (PLATFORM, *PARTIES):
            made.change(name, more=LIMITS)
            if name != PLATFORM:
                made.change(name, ('id = "id"', 'id = "id"\nid_type = "digits"'))
                made.policy(name, "admit")
        made.change(PLATFORM, ('operators = ["operator"]', 'operators = ["bank"]'), more="\n[relay]\nserve = true\n")
        await made.up(PLATFORM)
        made.shell(JOIN)
        await asyncio.gather(*(made.up(name, plan=plans.get(name, "")) for name in PARTIES))
        yield made
    finally:
        await made.close()
