"""The house: who may import whom, read from the source and seen in a fresh interpreter."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import ardcube.errors

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("ardcube", "flows", "hooks", "tasks")
MAY_IMPORT = {
    "ardcube": {"ardcube"},
    "hooks": {"hooks", "ardcube"},
    "tasks": {"tasks", "hooks", "ardcube"},
    "flows": {"flows", "tasks", "hooks", "ardcube"},
}
ORCHESTRATION = {"prefect", "prefect_dask", "click", "rich", "coiled", "dask", "distributed"}
"""What the domain knows nothing of."""
EFFECTS = {"zarr", "odc.stac", "pystac", "pystac_client", "fsspec", "s3fs", "rasterio", "requests", "rustac"}
"""What touches the world, and pure modules do not."""
PURE = (
    "grid",
    "periods",
    "plan",
    "masking",
    "memory",
    "composite",
    "projection",
    "resample",
    "scenes",
    "scene_index",
    "jobs",
)
LAZY = {"coiled", "rustac"}
"""Heavy or optional: imported where they are used."""

MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path, *, top_level_only: bool = False) -> frozenset[str]:
    """Modules that a file imports by name, as `a.b.c`; `from a import b` counts as `a` and `a.b`."""
    tree = ast.parse(path.read_text())
    nodes = list(tree.body) if top_level_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def is_of(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_there_is_something_to_look_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in MODULES} == set(FOLDERS)
    assert {"ardcube.extent.grid", "ardcube.extent.grid.Grid", "math"} <= imports(ROOT / "ardcube" / "plan.py")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_in_one_direction(path: Path) -> None:
    """flows -> tasks -> hooks, ardcube; nothing imports flows."""
    allowed = MAY_IMPORT[path.relative_to(ROOT).parts[0]]
    ours = {name for name in imports(path) if is_of(name, set(FOLDERS))}
    assert {name for name in ours if not is_of(name, allowed)} == set()


@pytest.mark.parametrize("path", [p for p in MODULES if p.is_relative_to(ROOT / "ardcube")], ids=name_of)
def test_the_domain_knows_nothing_of_orchestration(path: Path) -> None:
    assert {name for name in imports(path) if is_of(name, ORCHESTRATION)} == set()


def loaded_after(statement: str) -> set[str]:
    """Modules that are there once a fresh interpreter has run an import statement."""
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_pure_modules_touch_nothing_even_through_others() -> None:
    loaded = loaded_after(f"from ardcube import {', '.join(PURE)}")
    assert {f"ardcube.{name}" for name in PURE} <= loaded
    # What odc-geo or xarray load of their own accord is not ours to forbid; what we reach is.
    by_us = reached({f"ardcube.{name}" for name in PURE})
    assert {name for name in by_us if is_of(name, EFFECTS | ORCHESTRATION)} == set()
    assert not loaded & {"zarr", "odc.stac", "pystac_client", "fsspec", "prefect", "click", "coiled", "distributed"}


def reached(modules: set[str]) -> set[str]:
    """All that modules of ours import, directly or through modules of ours."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        if not path.exists():
            continue
        new = imports(path) - found
        found |= new
        waiting |= {name for name in new if is_of(name, set(FOLDERS))}
    return found


def test_importing_the_domain_loads_no_orchestration() -> None:
    """A worker that builds chunks does not pay for a server, a terminal or a cloud."""
    loaded = {name.split(".")[0] for name in loaded_after("import ardcube.chunk.build")}
    # Rasterio loads click, and odc-geo dask's base, of their own accord.
    assert not loaded & {"prefect", "prefect_dask", "rich", "coiled", "distributed"}
    assert not loaded & {"flows", "tasks", "hooks"}


def test_help_needs_nothing_but_click() -> None:
    """All of `ardcube --help` is imported in a fifth of a second; pydantic alone would double that."""
    loaded = {name.split(".")[0] for name in loaded_after("import flows.cli")}
    assert "click" in loaded
    assert not loaded & {"pydantic", "annotated_types", "numpy", "prefect", "rich", "fsspec"}


def test_a_request_is_checked_without_what_builds() -> None:
    """A mistake is told before xarray, zarr or Prefect, a second each, are imported."""
    loaded = {
        name.split(".")[0] for name in loaded_after("import ardcube.prepare.check, hooks.cloud_masks, flows.console")
    }
    slow = {"xarray", "pandas", "geopandas", "pyarrow", "zarr", "numba", "odc", "dask", "rasterio", "pystac_client"}
    assert not loaded & (slow | {"prefect", "distributed"})


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_heavy_optional_libraries_are_imported_where_they_are_used(path: Path) -> None:
    assert {name for name in imports(path, top_level_only=True) if is_of(name, LAZY)} == set()


def test_there_is_no_room_for_odds_and_ends() -> None:
    names = {path.stem for path in MODULES}
    assert not names & {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent.name == "flows"], ids=name_of)
def test_flow_modules_keep_their_annotations(path: Path) -> None:
    """Text in their place breaks a served deployment whose parameter is a pydantic model."""
    assert not is_of("__future__.annotations", set(imports(path)))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_in_its_first_line_what_it_is(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].rstrip().endswith((".", ":"))


def test_flow_files_are_not_named_like_anything_importable() -> None:
    """Prefect puts a flow file's folder first on `sys.path`."""
    elsewhere = set(sys.stdlib_module_names) | {"prefect", "click", "rich", "dask", "coiled", "zarr", "xarray"}
    for path in MODULES:
        if path.parent.name == "flows":
            assert path.stem not in elsewhere


# ---- errors --------------------------------------------------------------------------------------


def error_classes() -> dict[str, str]:
    """Every error of ours with its first base, from the source of all modules."""
    bases = {
        node.name: base.id
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases[:1]
        if isinstance(base, ast.Name)
    }
    ours = {"ArdcubeError": "Exception"}
    while new := {name: base for name, base in bases.items() if base in ours and name not in ours}:
        ours |= new
    return ours


def documented_tree() -> dict[str, str]:
    """The tree that the docstring draws: each error's parent."""
    above: list[tuple[int, str]] = [(-1, "Exception")]
    tree: dict[str, str] = {}
    for line in (ardcube.errors.__doc__ or "").splitlines():
        name = next((word for word in line.split() if word.endswith("Error")), None)
        column = line.index(name) if name else 0
        if name is None or not set(line[:column]) <= set(" │├└─"):
            continue
        while above[-1][0] >= column:
            above.pop()
        tree[name] = above[-1][1]
        above.append((column, name))
    return tree


def test_the_tree_of_errors_is_the_one_its_docstring_draws() -> None:
    assert documented_tree() == error_classes()


def test_every_error_is_either_permanent_or_transient() -> None:
    classes = error_classes()

    def is_below(name: str, ancestor: str) -> bool:
        return name == ancestor or (name in classes and is_below(classes[name], ancestor))

    for name in set(classes) - {"ArdcubeError"}:
        assert is_below(name, "PermanentError") != is_below(name, "TransientError"), name


def test_no_error_is_swallowed_bare() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, f"{name_of(path)}:{node.lineno}"
