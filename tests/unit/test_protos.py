"""The checked-in stubs are what the proto files say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("grpc_tools", reason="grpcio-tools is in the dev extra")


def test_generated_stubs_are_fresh(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate_protos", ROOT / "protos" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.generate(tmp_path)
    checked_in = {path.name: path.read_text() for path in module.TARGET.glob("*_pb2*.py*")}
    assert {path.name: path.read_text() for path in written} == checked_in, "run `make protos`"
