"""The architecture: which package may import which, and what an import may load."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import ardcube.errors

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("ardcube", "flows", "hooks", "tasks")
LAYERS = (
    ("flows",),
    ("tasks",),
    ("hooks",),
    ("ardcube.api",),
    (
        "ardcube.chunk",
        "ardcube.exporting",
        "ardcube.filling",
        "ardcube.odc_driver",
        "ardcube.prepare",
        "ardcube.report",
    ),
    ("ardcube.stac_output",),
    ("ardcube.ledger", "ardcube.store"),
    ("ardcube.planning",),
    ("ardcube.pixels",),
    ("ardcube.raster",),
    ("ardcube.catalog",),
    ("ardcube.extent", "ardcube.lease"),
    ("ardcube.config", "ardcube.sample", "ardcube.storage"),
    ("ardcube.runtime", "ardcube.kernels", "ardcube.collections"),
    ("ardcube.errors", "ardcube.redaction", "ardcube.fingerprint"),
)
"""Rows of packages. A package imports only from rows below it, and not from its row."""
ORCHESTRATION = {"prefect", "prefect_dask", "click", "rich", "coiled", "dask", "distributed"}
"""Libraries that `ardcube` does not import."""
EFFECTS = {"zarr", "odc.stac", "pystac", "pystac_client", "fsspec", "s3fs", "rasterio", "requests", "rustac"}
"""Libraries that touch files, stores or catalogues."""
PURE = (
    "ardcube.extent", "ardcube.kernels", "ardcube.pixels", "ardcube.planning", "ardcube.catalog.items",
    "ardcube.collections",
)  # fmt: skip
LAZY = {"coiled", "rustac"}
"""Heavy or optional libraries, imported where they are used."""

MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@cache
def imports(path: Path, *, top_level_only: bool = False) -> frozenset[str]:
    """Return the modules that a file imports, as `a.b.c`; `from a import b` counts as `a` and `a.b`."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def is_of(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def ours(names: frozenset[str]) -> Iterator[str]:
    return (name for name in names if is_of(name, set(FOLDERS)))


def package_of(name: str) -> str | None:
    """Return the entry of `LAYERS` that contains a module; None for the package `ardcube`."""
    return next((package for row in LAYERS for package in row if is_of(name, {package})), None)


def test_every_module_belongs_to_a_package_of_the_table() -> None:
    assert {name_of(path) for path in MODULES if package_of(name_of(path)) is None} == {"ardcube"}


def test_packages_import_only_from_packages_below() -> None:
    row = {package: number for number, packages in enumerate(LAYERS) for package in packages}
    arrows = [
        (name_of(path), imported)
        for path in MODULES
        for imported in ours(imports(path))
        if (above := package_of(name_of(path))) and (below := package_of(imported))
        if above != below and row[above] >= row[below]
    ]
    assert arrows == []


def test_modules_import_each_other_in_no_circle() -> None:
    names = {name_of(path): path for path in MODULES}
    below = {  # without a module's own packages, which Python imports before it
        name: {found for found in ours(imports(path)) if found in names and not name.startswith(f"{found}.")}
        for name, path in names.items()
    }
    free: set[str] = set()
    while leaves := {name for name, needed in below.items() if name not in free and needed - {name} <= free}:
        free |= leaves
    assert set(names) - free == set()


def test_the_domain_does_not_import_orchestration() -> None:
    domain = [path for path in MODULES if name_of(path).startswith("ardcube")]
    assert [(name_of(path), name) for path in domain for name in imports(path) if is_of(name, ORCHESTRATION)] == []


def test_heavy_optional_libraries_are_imported_where_they_are_used() -> None:
    top_level = [(name_of(path), name) for path in MODULES for name in imports(path, top_level_only=True)]
    assert [(path, name) for path, name in top_level if is_of(name, LAZY)] == []


def reached(modules: set[str]) -> set[str]:
    """Return all imports of modules, direct or through other modules of the project."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        module = waiting.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        if path.exists():
            new = imports(path) - found
            found |= new
            waiting |= set(ours(frozenset(new)))
    return found


def test_pure_packages_reach_no_file_store_or_catalogue() -> None:
    pure = {name_of(path) for path in MODULES if is_of(name_of(path), set(PURE))}
    assert {name for name in reached(pure) if is_of(name, EFFECTS | ORCHESTRATION)} == set()


def loaded_after(statement: str) -> set[str]:
    """Return the modules that a new interpreter has loaded after an import statement."""
    code = f"{statement}\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_a_worker_loads_no_orchestration() -> None:
    loaded = {name.split(".")[0] for name in loaded_after("import ardcube.chunk.build")}
    # Rasterio loads click, and odc-geo dask's base.
    assert not loaded & {"prefect", "prefect_dask", "rich", "coiled", "distributed"}
    assert not loaded & {"flows", "tasks", "hooks"}


def test_help_loads_nothing_but_click() -> None:
    """`ardcube --help` takes a twentieth of a second; pydantic alone would double that."""
    loaded = {name.split(".")[0] for name in loaded_after("import flows.cli")}
    assert "click" in loaded
    assert not loaded & {"pydantic", "annotated_types", "numpy", "prefect", "rich", "fsspec"}


def test_a_request_is_checked_before_slow_libraries_are_loaded() -> None:
    loaded = {
        name.split(".")[0] for name in loaded_after("import ardcube.prepare.check, hooks.cloud_masks, flows.console")
    }
    slow = {"xarray", "pandas", "geopandas", "pyarrow", "zarr", "numba", "odc", "dask", "rasterio", "pystac_client"}
    assert not loaded & (slow | {"prefect", "distributed"})


def test_a_flow_whose_workers_build_imports_no_libraries_of_pixels() -> None:
    """They would take 125 MB of its memory."""
    program = "from flows.run_flow import import_libraries; import_libraries(kernels=False)"
    loaded = {name.split(".")[0] for name in loaded_after(program)}
    assert {"prefect", "distributed", "pyarrow"} <= loaded
    assert not loaded & {"numba", "rasterio", "pandas", "xarray"}


def test_cpus_are_counted_in_one_place() -> None:
    """Other counts ignore the quota of a container, or the affinity of the process."""
    others = re.compile(
        r"(?<!def )\b(os\.(process_)?cpu_count|sched_getaffinity|multiprocessing\.cpu_count|ALL_CPUS)\b"
    )
    files = [*MODULES, *(ROOT / "benchmarks").glob("*.py")]
    assert [name_of(path) for path in files if others.search(path.read_text())] == ["ardcube.runtime.cpus"]


def test_there_is_no_module_for_odds_and_ends() -> None:
    assert not {path.stem for path in MODULES} & {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def test_flow_modules_keep_their_annotations() -> None:
    """A postponed annotation breaks a served deployment whose parameter is a pydantic model."""
    flows = [path for path in MODULES if path.parent.name == "flows"]
    assert [name_of(path) for path in flows if is_of("__future__.annotations", set(imports(path)))] == []


def test_flow_files_are_not_named_like_anything_importable() -> None:
    """Prefect puts a flow file's folder first on `sys.path`."""
    elsewhere = set(sys.stdlib_module_names) | {"prefect", "click", "rich", "dask", "coiled", "zarr", "xarray"}
    assert not {path.stem for path in MODULES if path.parent.name == "flows"} & elsewhere


# ---- errors --------------------------------------------------------------------------------------


def error_classes() -> dict[str, str]:
    """Return each error class of the project with its first base, from the source of all modules."""
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
    """Return the parent of each error in the tree of the docstring."""
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
