"""The Python that the documents show: it runs on the sample archive, and prints what they say that it prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import ardcube

ROOT = Path(__file__).parents[2]
PAGES = ("docs/api.md", "docs/using-the-cube.md")
NOTEBOOKS = sorted(ROOT.glob("docs/notebooks/*.ipynb"))
TOLERANCE = 0.02
"""Share by which a printed number may differ: sizes of compressed files and estimates change with libraries."""


@pytest.fixture
def folder(sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the sample archive in `data/sample`, where the documents expect it."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "sample").symlink_to(sample_archive)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def examples(page: str) -> Iterator[tuple[str, str | None]]:
    """Blocks of Python of a page, each with the text block that follows it, if there is one."""
    pattern = r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?"
    for match in re.finditer(pattern, (ROOT / page).read_text(), re.DOTALL | re.MULTILINE):
        yield match[1], match[2]


def is_similar(printed: str, shown: str) -> bool:
    """Compare texts word by word and number by number; white space does not matter."""
    left, right = (re.split(r"(\d+(?:\.\d+)?)", " ".join(text.split())) for text in (printed, shown))
    return left[::2] == right[::2] and [float(number) for number in left[1::2]] == pytest.approx(
        [float(number) for number in right[1::2]], rel=TOLERANCE
    )


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")  # of the rasterio driver, about its own buffer
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("folder")
def test_a_page_prints_what_it_shows(page: str) -> None:
    names: dict[str, object] = {}
    for source, expected in examples(page):
        printed = StringIO()
        with redirect_stdout(printed):
            exec(compile(source, page, "exec"), names)
        if expected is not None:
            assert is_similar(printed.getvalue(), expected), f"{source}\n{printed.getvalue()}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_only_what_ardcube_exports(page: str) -> None:
    named = set(re.findall(r"\bardcube\.([A-Za-z_]+)", (ROOT / page).read_text()))
    assert named <= {*ardcube.__all__, "odc_driver", "sample"}


def test_the_reference_describes_every_call() -> None:
    text = (ROOT / "docs/api.md").read_text()
    for name in ardcube.__all__:
        if name[0].islower():
            assert f"ardcube.{name}(" in text, name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs_from_top_to_bottom(path: Path, folder: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    errors = [output for cell in notebook.cells for output in cell.get("outputs", []) if output.output_type == "error"]
    assert errors == []
