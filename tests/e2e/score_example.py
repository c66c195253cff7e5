"""The town of examples/02_scores on real records, and what its scripts and its nodes say."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from e2e.conftest import ROOT
from free_ports import free_port

from fedcredit import failpoints
from fedcredit.ids import PartyId
from fedcredit.node.scoring.client import NotScored, Score, ScoreClient, Wanted
from fedcredit.node.scoring.version import find_version, own_points
from fedcredit.node.store import Store
from fedcredit.node.town.consents import signed_at_once
from fedcredit.node.town.town import Services, Town
from fedcredit.runtime.config import JobFile, load_job

__all__ = ["BANK", "EMPLOYMENT", "GUARANTEE", "MODEL", "REGISTRY", "ScoreExample", "score_example"]

DATA = ROOT.parent / "shared" / "data" / "sba"
EXAMPLE = ROOT / "examples" / "02_scores"
BANK, REGISTRY, EMPLOYMENT, GUARANTEE = map(PartyId, ("bank", "registry", "employment", "guarantee"))
MODEL = "sme-default"
ONE_IN = 2


class ScoreExample(Town):
    """The town, with a person who types the example's commands, and a bank that asks from this process."""

    def __init__(self, job: JobFile, out: Path, services: Services, commands: Path) -> None:
        super().__init__(job, out, services, port=free_port)
        self._commands = commands

    async def types(self, script: str) -> str:
        """What a script of the example says. It has to succeed."""
        return await asyncio.to_thread(self._types, script)

    def tokens(self, subjects: Sequence[str], uses: int = 1, model: str = MODEL) -> list[Wanted]:
        """Subjects with consents to scores."""
        made = signed_at_once(self, subjects, models=(model,), purpose="financing", max_uses=uses)
        return [Wanted(subject, token) for subject, token in zip(subjects, made, strict=True)]

    async def scores(
        self,
        wanted: Sequence[Wanted],
        *,
        without: Sequence[str] = (),
        version: int | None = None,
        model: str = MODEL,
        only_bands: bool = False,
    ) -> list[Score | NotScored]:
        """What the bank is told, in one request."""
        config = self.config(BANK)
        found = replace(await find_version(config, model, version), only_bands=only_bands)
        own = await asyncio.to_thread(own_points, config, found)
        async with ScoreClient.of(config, found, without=without) as client:
            return await client.score(wanted, own)

    async def dying(self, party: PartyId, plan: str) -> None:
        """Start a node that has ended, so that it will die by `plan`."""
        os.environ |= {failpoints.ALLOW: "1", failpoints.PLAN: plan}
        try:
            await self.up(party)
        finally:
            os.environ.pop(failpoints.PLAN, None)
            if failpoints.REACHED not in os.environ:
                os.environ.pop(failpoints.ALLOW, None)

    def answered(self, party: PartyId) -> list[bytes]:
        """The consents by which a department let its part have, by its store, once a use."""
        store = Store.look(f"sqlite:///{self.folder(party) / 'store.sqlite'}")
        try:
            rows = [row for one in store.scores.requests() for row in store.scores.of(one.request)]
        finally:
            store.close()
        return [row.consent for row in rows if row.outcome.name == "ANSWERED"]

    def _types(self, script: str) -> str:
        environment = os.environ | {
            "PATH": f"{self._commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TOWN": str(self.out),
            "COLUMNS": "200",
        }
        done = subprocess.run(
            ["bash", str(EXAMPLE / script)],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@asynccontextmanager
async def score_example(folder: Path) -> AsyncIterator[ScoreExample]:
    """The town as the example makes it, with half of the enterprises, before its first script."""
    if not DATA.exists():
        pytest.skip("the data sets are not beside this checkout")
    made, out = _example(), folder / "town"
    out.mkdir()
    tables = made.prepare(DATA, out / "data", ONE_IN)
    commands = folder / "commands"
    commands.mkdir()
    program = commands / "fedcredit"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fedcredit.cli.main "$@"\n')
    program.chmod(0o755)
    async with ScoreExample(load_job(tables), out, made.services(out / "data"), commands) as town:
        yield town


def _example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("score_example_town", EXAMPLE / "town.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
