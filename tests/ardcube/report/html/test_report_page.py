"""The report page as a document: escaped, without secrets, self-contained, of bounded size."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import ardcube.report.html.write
from ardcube.errors import InputError
from ardcube.extent.grid import Grid
from ardcube.fingerprint import digest
from ardcube.planning.jobs import ChunkKey
from ardcube.report.html.opening import openings
from ardcube.report.html.write import check_output, report_page, write_next_to_ledger, write_page
from tests.ardcube.report.reported_cube import Reported, make

HOSTILE = "</script><script>alert(1)</script>\"'&<b onmouseover=x>"


class Parsed(HTMLParser):
    """Elements, names of attributes and texts of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.source, self.tags, self.attributes, self.texts = source, list[str](), set[str](), list[str]()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        if self.lasttag not in ("script", "style"):
            self.texts.append(data)


def page_of(made: Reported, **options: Any) -> str:
    return report_page(made.place, options, made.ledger, made.cube)


def data_of(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script id="data" type="application/json">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def codes_of(page: str) -> list[str]:
    return [html.unescape(code) for code in re.findall(r"<pre[^>]*><code>(.*?)</code>", page, re.DOTALL)]


def test_the_data_of_the_page_are_those_of_the_cube(tmp_path: Path) -> None:
    made = make(tmp_path, errors={ChunkKey("2023-02", 1, 2): "TransientError: time-out"})
    data = data_of(page_of(made))
    assert [period["label"] for period in data["periods"]] == ["2023-01", "2023-02", "2023-03"]
    assert set(data["pictures"]) == {"0", "1", "2"}
    assert data["cells"]["errors"] == ["TransientError: time-out"]
    assert data["cells"]["periods"][1]["error"][8] == 0
    assert data["position"]["bounds"] == list(made.cube.grid.bounds)
    assert [step["days"] for step in data["steps"]] == [1.0, 2.0, 3.0]


def test_hostile_names_and_errors_are_shown_literally(tmp_path: Path) -> None:
    key = ChunkKey("2023-01", 0, 0)
    hostile = make(tmp_path, name="a<b>'&\".zarr", errors={key: f"Error: {HOSTILE}"}, collection=f"x{HOSTILE}")
    plain = make(tmp_path, errors={key: "Error: e"}, collection="x")
    page, usual = Parsed(page_of(hostile)), Parsed(page_of(plain))
    assert page.tags == usual.tags
    assert "onmouseover" not in page.attributes
    assert data_of(page.source)["cells"]["errors"] == [f"Error: {HOSTILE}"]
    shown = "".join(page.texts)
    assert "a<b>'&\".zarr" in shown
    assert f"x{HOSTILE}" in shown
    assert f"1 chunk {HOSTILE}" in shown


def test_the_page_has_no_secrets(tmp_path: Path) -> None:
    made = make(
        tmp_path,
        errors={ChunkKey("2023-01", 0, 0): "Error: https://me:geheim@x.org/a.tif?sig=geheim token=geheim failed"},
    )
    page = page_of(
        made, key="geheim", endpoint_url="http://127.0.0.1:9", client_kwargs={"aws_secret_access_key": "geheim"}
    )
    assert "geheim" not in page
    assert "x.org/a.tif" in page


def test_the_page_permits_its_style_and_script_and_nothing_else(tmp_path: Path) -> None:
    page = page_of(make(tmp_path))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    assert html.unescape(policy) == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"
    )
    outside = re.sub(r"<script.*?</script>|<code>.*?</code>|<dd>.*?</dd>|<td>.*?</td>", "", page, flags=re.DOTALL)
    assert "://" not in outside
    assert not re.findall(r"\s(?:src|href|style|on\w+)=\"(?!\")", outside)


def test_the_code_of_the_page_opens_the_cube_and_draws_a_map(tmp_path: Path) -> None:
    made = make(tmp_path, name="it's.zarr")
    made.ledger.write_cube(described(made))
    with_and_without, _, web_map = codes_of(page_of(made))[-3:]
    assert "cube['rgb_median'].sel(time='2023-03-01')" in web_map
    code = f"{with_and_without}\nprint(dict(cube.sizes))\n{web_map}\nprint(dict(picture.sizes))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'time': 3, 'y': 64, 'x': 96, 'band': 4, 'nv': 2}\n{'y': 64, 'x': 96, 'band': 4}\n"
    assert "data:image/png;base64," in (tmp_path / "map.html").read_text()


def test_the_code_of_a_map_thins_a_large_cube(tmp_path: Path) -> None:
    made = make(tmp_path, months=1)
    large = replace(made.cube, grid=Grid.from_bounds((500_000.0, 5e6, 600_000.0, 5.1e6), 20.0, "EPSG:32633"))
    web_map = openings(made.place, {}, large, None)[-1].code
    assert ".isel(y=slice(None, None, 3), x=slice(None, None, 3)).to_dataset" in web_map  # 5000 pixels on a side
    assert ".isel" not in openings(made.place, {}, made.cube, None)[-1].code


def test_only_ardcube_opens_a_cube_of_icechunk(tmp_path: Path) -> None:
    made = make(tmp_path, months=1)
    plain = openings(made.place, {}, made.cube, None)
    of_icechunk = openings(made.place, {}, replace(made.cube, identity={"storage_backend": "icechunk"}), None)
    python, exported, web_map = (one.code for one in of_icechunk)
    assert python == f"import ardcube\n\ncube = ardcube.open({made.place.path!r})"
    assert plain[0].code.startswith(python)
    assert exported == f"ardcube export {made.place.path} --output exported"
    assert web_map == plain[2].code


def test_a_cube_without_any_chunk_has_a_page(tmp_path: Path) -> None:
    made = make(tmp_path, months=1, missing=[ChunkKey("2023-01", row, col) for row in range(4) for col in range(6)])
    page = page_of(made)
    assert "24 chunks not built yet" in page
    assert data_of(page)["pictures"] == {}


def test_a_page_of_many_periods_is_a_sample_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ardcube.report.html.write, "_MOST_PERIODS", 3)
    page = page_of(make(tmp_path, months=6))
    data = data_of(page)
    assert [period["index"] for period in data["periods"]] == [0, 2, 5]
    assert len(data["steps"]) == 6
    assert "3 of 6 periods, evenly spread" in page
    assert "A sample" not in page_of(make(tmp_path / "small", months=2))


# ---- the file -------------------------------------------------------------------------------------


def test_an_earlier_page_is_replaced(tmp_path: Path) -> None:
    made, path = make(tmp_path, months=1), tmp_path / "page.html"
    write_page(made.place, {}, made.ledger, made.cube, path)
    first = path.read_text()
    made.ledger.write(next(iter(made.ledger.records().values())))
    write_page(made.place, {}, made.ledger, made.cube, path)
    assert path.read_text().startswith(first[:200])
    assert [found.name for found in tmp_path.iterdir() if "page" in found.name] == ["page.html"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/page.html", "missing does not exist; create it"),
        ("", "is a folder; give the name of a file"),
        ("notes.html", "exists and is not a report page; choose another name"),
        ("bytes.html", "exists and is not a report page"),
        ("a" * 300, "cannot be written .File name too long.; choose another file"),
    ],
)
def test_other_files_are_kept(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "notes.html").write_text("<p>notes</p>" * 1000 + "ardcube report")
    (tmp_path / "bytes.html").write_bytes(bytes(range(256)) * 100)
    with pytest.raises(InputError, match=message) as refused:
        check_output(tmp_path / name)
    assert "\n" not in str(refused.value)
    assert (tmp_path / "notes.html").read_text().startswith("<p>notes")


def test_the_page_of_a_run_is_next_to_its_ledger(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = make(tmp_path, months=1)
    made.ledger.write_cube(described(made))
    address = write_next_to_ledger(made.place, {}, made.ledger)
    assert address == f"{made.place.path}.ardcube/report.html"
    assert "<h1>alps</h1>" in Path(address).read_text()
    Path(made.place.path, "zarr.json").write_text("{")
    assert "store is missing or incomplete; run the build again" in page_of(made)
    made.ledger.place.write("cube.json", b"{")
    assert write_next_to_ledger(made.place, {}, made.ledger) is None
    assert "no report page: StoreError" in caplog.text


def described(made: Reported) -> dict[str, Any]:
    """Return the content of `cube.json`."""
    config, grid = made.cube.config, made.cube.grid
    names = ("bands", "varname", "chunk_size", "shard", "time_frequency_months", "cloud_mask", "resampling")
    identity = {
        **{name: getattr(config, name) for name in names},
        "bands": list(config.bands),
        "start": made.cube.periods[0].label,
        "grid": asdict(grid),
    }
    return {
        "identity": identity, "fingerprint": digest(identity), "end": "2023-02", "offset": -0.1,
        "config": config.model_dump(mode="json"),
    }  # fmt: skip
