"""Every bad input that `docs/bad-inputs.md` lists has the test that it names."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_listed_bad_input_has_its_test() -> None:
    named = re.findall(r"`(tests/[a-z0-9_/]+\.py)::(\w+)`", (ROOT / "docs" / "bad-inputs.md").read_text())
    assert len(named) > 40
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or not re.search(rf"def {test}\(", (ROOT / file).read_text())
    ]
    assert missing == []
