"""The names of `import ardcube`."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import ardcube


def imported_for_type_checkers() -> dict[str, str]:
    """Names in the block for type checkers, each with its module."""
    tree = ast.parse(Path(ardcube.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


@pytest.mark.parametrize("name", ardcube.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(ardcube, name) is not None
    assert name in dir(ardcube)


def test_type_checkers_see_the_names_that_python_imports() -> None:
    assert imported_for_type_checkers() == ardcube._MODULE_OF
    assert set(ardcube.__all__) == set(ardcube._MODULE_OF) | {"__version__"}
    assert (Path(ardcube.__file__).parent / "py.typed").exists()


def test_no_module_hides_a_public_name() -> None:
    """Python binds an imported submodule to its package, in place of a name that is imported on first use."""
    folder = Path(ardcube.__file__).parent
    assert not {path.stem for path in folder.iterdir()} & set(ardcube.__all__)


def test_every_error_is_public() -> None:
    from tests.test_architecture import error_classes

    assert set(error_classes()) <= set(ardcube.__all__)


def test_star_import_gives_the_public_names_alone() -> None:
    names: dict[str, object] = {}
    exec("from ardcube import *", names)
    assert set(names) - {"__builtins__"} == set(ardcube.__all__)


def test_an_unknown_name_is_an_attribute_error_that_lists_the_known_ones() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'biuld'; it has .*CubeConfig"):
        ardcube.biuld  # noqa: B018
    assert not hasattr(ardcube, "biuld")


def test_the_version_is_that_of_the_installed_package() -> None:
    assert ardcube.__version__ == importlib.metadata.version("ardcube")


def test_the_import_loads_no_library() -> None:
    code = "import ardcube, sys; print({n.split('.')[0] for n in sys.modules} & {'numpy', 'pydantic', 'xarray', 'odc'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
