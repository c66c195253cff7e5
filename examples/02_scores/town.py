"""The town of this example: a platform, a bank and three departments on this machine, each with its own node.

    python examples/02_scores/town.py DATA [FOLDER]

DATA has bank.csv, registry.csv and employment.csv (README.md says where from). Nodes run until Ctrl-C; the folder, by
default runs/scores, then has no keys any more and can be looked at.
"""

from __future__ import annotations

import asyncio
import csv
import signal
import sys
from pathlib import Path

from fedcredit.ids import PartyId
from fedcredit.node.outcome import prepare_folder
from fedcredit.node.town.town import Register, Services, Town
from fedcredit.runtime.config import load_job

JOB = Path(__file__).with_name("job.toml")

TABLES = {
    "bank": ("bank.csv", ["uscc", "default", "term_months", "disbursed_usd"]),
    "registry": (
        "registry.csv",
        ["uscc", "naics_sector", "state", "bank_state", "new_business", "franchise", "urban_rural"],
    ),
    "employment": ("employment.csv", ["uscc", "employees", "jobs_created", "jobs_retained"]),
    "guarantee": ("bank.csv", ["uscc", "approved_usd", "guaranteed_usd", "revolving", "low_doc"]),
}
"""Who has which columns. In the records the bank has those of the guarantor as well; here they are two parties."""


def prepare(data: Path, folder: Path, one_in: int = 1) -> Path:
    """Write a table for each party, of one enterprise in so many; the file that says whose tables they are."""
    folder.mkdir(parents=True, exist_ok=True)
    whose = ['[job]\nname = "town"\npurpose = "financing"']
    for party, (source, columns) in TABLES.items():
        with (data / source).open(newline="") as read, (folder / f"{party}.csv").open("w", newline="") as write:
            table = csv.DictWriter(write, columns, extrasaction="ignore")
            table.writeheader()
            # By its code, so that an enterprise is in all tables or in none.
            table.writerows(row for row in csv.DictReader(read) if sum(row["uscc"].encode()) % one_in == 0)
        label = 'label = "default"\n' if party == "bank" else ""
        whose.append(f'[parties.{party}]\ntable = "{party}.csv"\nid = "uscc"\n{label}')
    path = folder / "tables.toml"
    path.write_text("\n".join(whose))
    return path


def services(tables: Path) -> Services:
    """The employment office also answers questions, as Nanjing's housing fund does: its employees are contributors.

    A score may lack the guarantor's part while it is down.
    """
    register = Register("housing_fund_contribution", tables / "employment.csv", {"contributor_count": "employees"})
    return Services("nanjing", {PartyId("employment"): [register]}, without=[PartyId("guarantee")])


async def run(data: Path, out: Path) -> None:
    """Keep the town until somebody ends it."""
    prepare_folder(out)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Town(load_job(prepare(data, out / "data")), out, services(out / "data")):
        print(f"The town of {out} is up; Ctrl-C ends it.", flush=True)
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "runs/scores")))
