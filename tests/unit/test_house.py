"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import fedcredit
from fedcredit.cli.main import app
from fedcredit.runtime.config import load_job

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "fedcredit"
NATIVE = PACKAGE / "native"

MAX_LINES = 400
SAYS_NOTHING = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}

# Each of these runs code that stands in data, or is a way to the ones that do.
UNSAFE_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "cloudpickle",
    "dill",
    "joblib",
    "jsonpickle",
    "marshal",
    "multiprocessing",
    "shelve",
}
# Distributions that another of the same project requires and tells its users to import from.
PART_OF = {"pydantic-core": "pydantic", "pydantic_core": "pydantic", "markupsafe": "jinja2"}

UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}


def shipped_python() -> list[Path]:
    return [file for file in sorted(PACKAGE.rglob("*.py")) if NATIVE not in file.parents]


def written_by_hand() -> list[Path]:
    rust = [file for file in NATIVE.rglob("*.rs") if NATIVE / "target" not in file.parents]
    return [file for file in [*shipped_python(), *rust] if file.parent.name != "_gen"]


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def documents() -> list[Path]:
    return [file for file in tracked() if file.suffix == ".md"]


@functools.cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def imported(file: Path) -> Iterator[str]:
    """The full names of the modules that `file` imports."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def where(file: Path, node: ast.AST | None = None) -> str:
    return f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', '')}"


def test_no_code_runs_from_data() -> None:
    """No pickle, eval, exec, yaml.load, marshal or allow_pickle, in any spelling."""
    found = []
    for file in shipped_python():
        found += [where(file) + name for name in imported(file) if name.split(".")[0] in UNSAFE_MODULES]
        for node in ast.walk(tree(file)):
            if not isinstance(node, ast.Call):
                continue
            allowed = {k.arg: k.value for k in node.keywords if k.arg in ("allow_pickle", "shell")}
            if any(not isinstance(value, ast.Constant) or value.value for value in allowed.values()):
                found.append(where(file, node))
            match node.func:
                case ast.Name(id=name) if name in UNSAFE_CALLS:
                    found.append(where(file, node))
                case ast.Attribute(value=ast.Name(id="yaml"), attr="load" | "load_all" | "unsafe_load"):
                    found.append(where(file, node))
                case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr="load") if "allow_pickle" not in allowed:
                    found.append(where(file, node))
    assert not found


def test_no_file_is_too_long_to_be_about_one_thing() -> None:
    long = {where(file): n for file in written_by_hand() if (n := len(file.read_text().splitlines())) > MAX_LINES}
    assert not long


def test_names_say_something_and_folders_are_shallow() -> None:
    names = [file.relative_to(PACKAGE) for file in written_by_hand()]
    assert not [name for name in names if SAYS_NOTHING & {part.removesuffix(name.suffix) for part in name.parts}]
    assert not [name for name in names if len(name.parents) - 1 > 3]


def test_shipped_code_is_finished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|\b(todo|unimplemented)!\(")
    assert not [where(file) for file in written_by_hand() if marks.search(file.read_text())]


def test_only_kernels_touch_the_native_module() -> None:
    found = {file.relative_to(PACKAGE).parts[0] for file in shipped_python() if "fedcredit._native" in imported(file)}
    assert found <= {"kernels"}


def requirements(section: str, key: str) -> set[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return {re.split(r"[\s<>=!~;\[]", line)[0].lower() for line in config[section][key].splitlines() if line}


def test_every_import_is_a_declared_dependency() -> None:
    runtime = requirements("options", "install_requires")
    extras = requirements("options.extras_require", "test") | requirements("options.extras_require", "dev")
    known = importlib.metadata.packages_distributions()
    missing = set()
    places = [(shipped_python(), runtime)]
    places += [([*(ROOT / folder).rglob("*.py")], runtime | extras) for folder in ("tests", "protos")]
    for files, declared in places:
        local = {path.name.removesuffix(".py") for file in files for path in file.parent.iterdir()}
        for file in files:
            for name in {name.split(".")[0] for name in imported(file)} - {"fedcredit", "tests", *local}:
                if name in sys.stdlib_module_names:
                    continue
                # A namespace such as `google` is shared by distributions; one of them must be declared.
                owners = {distribution.lower().replace("_", "-") for distribution in known.get(name, [name])}
                if not declared & (owners | {PART_OF[owner] for owner in owners & PART_OF.keys()}):
                    missing.add(f"{where(file)} imports {name}")
    assert not missing


def test_the_version_is_one() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    workspace = tomllib.loads((NATIVE / "Cargo.toml").read_text())["workspace"]["package"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert config["metadata"]["version"] == fedcredit.__version__ == workspace["version"]
    assert f"## [{fedcredit.__version__}]" in changelog or "## [Unreleased]" in changelog


def test_the_repository_names_no_registry() -> None:
    # Where packages come from is the reader's configuration, not ours. Lock files have their own format.
    hosts = re.compile(r"(pypi|pythonhosted|crates|npmjs|jsdelivr|unpkg|docker)\.(org|io|com|net)", re.IGNORECASE)
    texts = [file for file in tracked() if file.suffix not in {".lock", ".png"} and "static" not in file.parts]
    assert not [where(file) for file in texts if hosts.search(file.read_text(encoding="utf-8", errors="replace"))]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_documents_name_only_targets_that_exist() -> None:
    assert {"setup", "demo", "test", "bench", "check"} <= targets()
    for file in documents():
        named = set(re.findall(r"^\s*(?:\$ )?make ([a-z-]+)|`make ([a-z-]+)", file.read_text(), re.MULTILINE))
        assert {first or second for first, second in named} <= targets(), file.name


def test_the_readme_shows_the_two_commands_of_a_newcomer() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme


def test_documents_name_only_commands_that_exist() -> None:
    known = set(typer.main.get_group(app).commands)
    for file in documents():
        named = set(re.findall(r"(?:`|bin/)fedcredit ([a-z]+)", file.read_text()))
        assert named <= known, file.name


def test_the_readmes_job_files_are_some(tmp_path: Path) -> None:
    jobs = []
    for text in re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        (tmp_path / "job.toml").write_text(text)
        for table in re.findall(r'table = "(.*)"', text):
            (tmp_path / table).touch()
        jobs.append(load_job(tmp_path / "job.toml"))
    assert [job.label_party for job in jobs] == ["bank", "delta"]
    assert [[model.kind for model in job.models] for job in jobs] == [["scorecard", "gbdt"], ["gbdt"]]
    assert jobs[1].models[0].split == "horizontal"


def test_what_ci_runs_is_what_the_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert {"make check", "make test"} <= set(script.read_text().splitlines())


@pytest.mark.parametrize("kind", ["link", "anchor"])
def test_links_between_documents_resolve(kind: str) -> None:
    broken = []
    for file in documents():
        # Code is not prose: `x[i](y)` is no link.
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", file.read_text(), flags=re.DOTALL)
        for target in re.findall(r"!?\[[^\]]*\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            linked = (file.parent / path).resolve() if path else file
            missing = not linked.exists() if kind == "link" else anchor and anchor not in anchors(linked)
            if missing:
                broken.append(f"{where(file)} -> {target}")
    assert not broken


def anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if file.suffix == ".md" else []
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    ("fakes", "python", "said"),
    [
        ({"cargo": "cargo 1.95.0 (x)", "rustc": "rustc 1.70.0 (x)"}, None, "rustc 1.70.0 (x) is too old"),
        ({"cargo": "cargo 1.70.0 (x)", "rustc": "rustc 1.95.0 (x)"}, None, "cargo 1.70.0 (x) is too old"),
        ({"rustc": "rustc 1.95.0 (x)"}, None, "cargo not found"),
        ({"cargo": "cargo 1.95.0 (x)", "rustc": "rustc 1.95.0 (x)"}, "no-such-python", "Python >= 3.11 not found"),
    ],
)
def test_a_bare_machine_is_told_what_is_missing(
    tmp_path: Path, fakes: dict[str, str], python: str | None, said: str
) -> None:
    for name, version in {**fakes, "cc": "cc"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{version}'\n")
        (tmp_path / name).chmod(0o755)
    # Only the shell's own tools beside the fakes, so that this machine's toolchain does not help out.
    environment = {"PATH": f"{tmp_path}:{only_basics(tmp_path)}", "PYTHON": python or sys.executable}
    ran = subprocess.run([ROOT / ".ci" / "toolchain"], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert said in ran.stderr
    assert ran.stderr.count("\n  - ") == 1


def only_basics(folder: Path) -> Path:
    basics = folder / "basics"
    basics.mkdir()
    for name in ("bash", "cut", "dirname", "env", "head", "sed", "sort"):
        found = next(Path(place, name) for place in ("/usr/bin", "/bin") if Path(place, name).exists())
        (basics / name).symlink_to(found)
    return basics
