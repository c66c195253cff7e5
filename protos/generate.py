"""Write fedcredit/wire/_gen from protos/fedcredit/v1. Run by `make protos`; needs the `dev` extra.

    python protos/generate.py [OUT]

One flat package is written: the import of a sibling in generated code, `from fedcredit.v1 import x_pb2`, becomes
`from fedcredit.wire._gen import x_pb2`. Service stubs are written only for files that declare a service. Output is a
function of the proto files and of the version of grpcio-tools, so a test can compare it with what is checked in.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
PACKAGE = "fedcredit.wire._gen"
TARGET = PROTOS.parent / "fedcredit" / "wire" / "_gen"

_SIBLING = re.compile(r"\bfrom fedcredit\.v1 import\b")
_SERVICE = re.compile(r"^service\s+\w+", re.MULTILINE)


def generate(target: Path) -> list[Path]:
    """Compile every proto into `target` and return the files written, sorted. Raises RuntimeError if protoc refuses."""
    sources = sorted((PROTOS / "fedcredit" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources:
            _compile(source, Path(scratch))
        target.mkdir(parents=True, exist_ok=True)
        return [_rewrite(made, target / made.name) for made in sorted(Path(scratch, "fedcredit", "v1").iterdir())]


def main(arguments: list[str]) -> int:
    """Regenerate into OUT, by default into the package, and drop stubs whose proto is gone."""
    target = Path(arguments[0]) if arguments else TARGET
    written = generate(target)
    for stale in {*target.glob("*_pb2*.py*")} - {*written}:
        stale.unlink()
    print(f"{len(written)} files in {target}")
    return 0


def _compile(source: Path, scratch: Path) -> None:
    # grpcio-tools is a development dependency; importing it here keeps this file importable without it.
    import grpc_tools
    from grpc_tools import protoc

    include = Path(grpc_tools.__file__).parent / "_proto"
    outputs = [f"--python_out={scratch}", f"--pyi_out={scratch}"]
    if _SERVICE.search(source.read_text(encoding="utf-8")):
        outputs.append(f"--grpc_python_out={scratch}")
        outputs.append(f"--mypy_grpc_out=quiet:{scratch}")
        outputs.append(f"--plugin=protoc-gen-mypy_grpc={_plugin('protoc-gen-mypy_grpc')}")
    relative = source.relative_to(PROTOS).as_posix()
    if protoc.main(["protoc", f"-I{PROTOS}", f"-I{include}", *outputs, relative]) != 0:
        raise RuntimeError(f"protoc refused {relative}")


def _plugin(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} is missing: install the `dev` extra (mypy-protobuf)")
    return found


def _rewrite(made: Path, into: Path) -> Path:
    into.write_text(_SIBLING.sub(f"from {PACKAGE} import", made.read_text(encoding="utf-8")), encoding="utf-8")
    return into


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
