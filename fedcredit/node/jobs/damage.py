"""Checkpoints that the disk has spoilt: set aside in the job's folder, so that the job goes on from the one before."""

from __future__ import annotations

import os

from fedcredit import failpoints
from fedcredit.node.jobs.premises import Premises
from fedcredit.observe import logs

__all__ = ["DAMAGED", "set_aside_damaged"]

DAMAGED = "damaged"
"""Where they lie in the job's folder, for whoever wants to know what became of the disk. Nothing reads them."""

_log = logs.get("job")


def set_aside_damaged(premises: Premises, job: str) -> list[str]:
    """Set aside the job's checkpoints that are not what was kept; the names of their stages. Raises: OSError."""
    folder = premises.job_folder(job) / DAMAGED

    def keep(stage: str, epoch: int, state: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{stage.replace('/', '.')}.{epoch}"
        with path.open("wb") as file:
            path.chmod(0o600)
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        failpoints.hit("job.damage.kept", stage)
        _log.warning("job.checkpoint_damaged", job=job, stage=stage)

    return premises.store.stages.set_aside(job, keep)
