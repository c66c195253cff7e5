"""The demonstration: from nothing to a report, one score and one answer, and no key is left."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from e2e.conftest import run_cli

from fedcredit.governance.audit import Event
from fedcredit.node.audit_scan import read_log
from fedcredit.node.pki import load_certificate
from fedcredit.node.signing import verify_audit_head


@pytest.mark.slow
def test_the_demonstration_ends_with_a_score_and_an_answer_of_real_nodes(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = run_cli("demo", "--out", out, "--rows", "4000")
    assert done.returncode == 0, done.stderr
    assert "What each party will learn" in done.stderr
    said = " ".join(done.stdout.split())
    found = re.search(r"One score and one question about (\w{18}), ", said)
    assert found is not None, said
    assert re.search(r"bank (\d{3}) points, the sum of 3", said)
    metrics = json.loads((out / "metrics.json").read_text())
    assert [model["kind"] for model in metrics["models"]] == ["scorecard", "gbdt"]

    # What it says of the logs is in them, and they are whole.
    for party, scores in (("bank", 0), ("tax", 1), ("social_insurance", 1)):
        certificate = load_certificate(out / "audit" / party / "signing.crt")
        entries, _ = read_log(
            out / "audit" / party, party, lambda signature, body, by=certificate: verify_audit_head(by, signature, body)
        )
        answered = [entry for entry in entries if entry.event is Event.SCORE_ANSWERED]
        assert [entry.facts["answered"] for entry in answered] == [1] * scores
        assert found[1] not in (out / "audit" / party / "entries.jsonl").read_text()
    signer = out / "audit" / "tax" / "signing.crt"
    checked = run_cli("verify", "--check", out / "asked" / "answer.json", "--certificate", signer)
    assert checked.returncode == 0, checked.stderr
    (outcome,) = re.findall(r"outcome: (\w+)", checked.stdout)
    assert f"{outcome.capitalize()}, signed" in said
    secret = [path for path in out.rglob("*") if path.suffix == ".key" or path.name in ("scores.json", "join.token")]
    assert not secret
