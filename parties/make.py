"""Writes the ready-to-run folders from one description of each party and the templates beside this file.

    python parties/make.py [FOLDER]

What differs between a tax bureau and a housing fund is a table; what a folder holds is the same for all. A test makes
the folders anew and compares.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedcredit.runtime.policy_template import template

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Party:
    """One folder. `example` is the department whose made-up table `fedcredit table example` writes."""

    id: str
    kind: str
    title: str
    chinese: str
    port: int
    holds: str = ""
    example: str = ""
    label: str = ""
    drop: str = ""
    updated: str = ""
    database: str = ""
    item: str = ""  # of the region's catalog, with a question about it
    question: str = ""
    region: str = "nanjing"

    @property
    def platform(self) -> bool:
        """Whether this is the platform, which holds no table."""
        return self.kind == "platform"


PARTIES = (
    Party("platform", "platform", "Financing credit service platform", "融资信用服务平台", 7443),
    Party(
        "bank",
        "institution",
        "Bank",
        "银行",
        7453,
        holds="borrowers, what the bank knows of them, and who defaulted",
        example="bank",
        label="default_12m",
        drop="observation_month",
        database="risk.borrowers",
    ),
    Party(
        "tax",
        "provider",
        "Tax bureau",
        "税务局",
        7463,
        holds="tax declared and paid, invoices, credit grade",
        example="tax",
        database="gov.enterprise_tax",
        item="tax_credit_rating",
        question="tax_grade_a",
        region="jining",
    ),
    Party(
        "social_insurance",
        "provider",
        "Social insurance administration",
        "社会保险经办机构",
        7473,
        holds="insured employees, contributions paid and owed",
        example="social_insurance",
        database="gov.enterprise_social_insurance",
        item="social_insurance_contribution",
        question="si_continuous_k",
        region="zhengzhou",
    ),
    Party(
        "housing_fund",
        "provider",
        "Housing fund centre",
        "住房公积金管理中心",
        7483,
        holds="accounts, deposits, months without a deposit",
        example="housing_fund",
        database="gov.enterprise_housing_fund",
        item="housing_fund_contribution",
        question="hf_current",
        region="nanjing",
    ),
    Party(
        "utilities",
        "provider",
        "Utilities",
        "水电气公用事业",
        7493,
        holds="consumption and bills of electricity, water and gas",
        example="electricity",
        database="util.enterprise_electricity",
        item="water_fee",
        question="water_in_arrears",
        region="nanjing",
    ),
)

FILES = {
    "party.toml": "party.toml.j2",
    "party.full.toml": "party.full.toml.j2",
    "README.md": "README.md.j2",
    "compose.yaml": "compose.yaml.j2",
    "fedcredit.service": "fedcredit.service.j2",
}


def write(folder: Path) -> list[Path]:
    """The folders of all parties below `folder`; the files written."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - plain text files, from our own values
    )
    written = []
    for party in PARTIES:
        own = folder / party.id
        own.mkdir(parents=True, exist_ok=True)
        for name, source in FILES.items():
            own.joinpath(name).write_text(templates.get_template(source).render(party=party), encoding="utf-8")
            written.append(own / name)
        if not party.platform:
            own.joinpath("policy.toml").write_text(template(party.kind), encoding="utf-8")
            written.append(own / "policy.toml")
    return written


if __name__ == "__main__":
    for path in write(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(path)
