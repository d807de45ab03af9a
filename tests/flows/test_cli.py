"""The output of the `ardcube` command, on a terminal and piped."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import rasterio
import s3fs

import ardcube
from ardcube.lease.acquire import holding
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import Attempt, ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.sample import archive
from ardcube.sample.scenes import scenes
from flows.command import main
from tests.flows.jobs import command, options, records, run, run_config, sample_cube
from tests.flows.remote import Remote
from tests.servers.earth_search import EarthSearch
from tests.servers.processes import environment
from tests.servers.range_server import RangeServer

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
Call = Callable[..., str]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, with piped output; return the output."""

    def run_here(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["ardcube", *words])
        with pytest.raises(SystemExit) as caught:
            main()
        output, errors = capsys.readouterr()
        assert (caught.value.code, errors) == (0, "")
        return output

    return run_here


def on_terminal(words: list[str], columns: int = 120) -> tuple[int, str]:
    """Run the installed command on a pseudo-terminal; return its exit code and its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        command(*words),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment({"TERM": "xterm-256color", "COLUMNS": str(columns)}),
        start_new_session=True,
    )
    os.close(theirs)
    drawn = b""
    try:
        while part := _read(ours):
            drawn += part
    finally:
        os.close(ours)
        process.wait(60)
    return process.returncode, drawn.decode()


def _read(terminal: int) -> bytes:
    """Return more of the output; nothing when the other end was closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@dataclass(frozen=True, slots=True)
class Built:
    """A cube that the installed command built, and its output."""

    uri: Path
    output: str
    checks: int
    """Requests for the collection at the STAC API."""
    searches: int
    """Searches, without further pages."""


@pytest.fixture(scope="module")
def built(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: Any) -> Built:
    """Build a cube from a STAC API, with piped output."""
    uri = tmp_path_factory.mktemp("built") / "cube.zarr"
    with RangeServer(sample_archive) as files:
        remote = Remote.of(sample_archive, files)
        with EarthSearch([remote.collection], remote.items) as api:
            done = run(["build", *options(sample_cube(api.url), run_config(uri))])
            checks = sum(request.path.startswith("v1/collections/") for request in api.requests)
            searches = len(api.searches)
    assert (done.returncode, done.stderr) == (0, "")
    return Built(uri, done.stdout, checks, searches)


def test_sample_writes_an_archive_and_prints_its_folder(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "scenes", lambda: scenes()[:2])  # all of them take ten seconds
    output = call("sample", str(tmp_path / "archive"))
    items, folder = re.fullmatch(r"(\d+) items in (.+)\n", output).groups()  # type: ignore[union-attr]
    assert folder == str(tmp_path / "archive")
    assert len(list((tmp_path / "archive").glob("*/*.json"))) == int(items) == 2


def plan_rows(output: str) -> dict[str, str]:
    """Return the rows of the table that `plan` prints."""
    rows = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in output.splitlines() if "  " in line.strip()]
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("words", [["plan"], ["build", "--dry-run"]], ids=["plan", "dry run"])
def test_a_plan_shows_the_size_of_the_cube_and_writes_nothing(
    words: list[str], call: Call, sample_archive: Path, tmp_path: Path
) -> None:
    output = call(*words, *options(sample_cube(sample_archive), run_config(tmp_path / "cube.zarr", threads=3)))
    for period in ("2023-05", "2023-06", "2023-07"):
        assert re.search(rf"^{period}: \d+ scenes$", output, re.MULTILINE)
    rows = plan_rows(output)
    assert (rows["tiles"], rows["periods"], rows["chunks"]) == ("8", "3", "24")
    assert re.fullmatch(r"\d+ x \d+ pixels of [\d.]+ degrees, EPSG:4326", rows["grid"])
    scenes = sum(int(count) for count in re.findall(r": (\d+) scenes", output))
    assert rows["scenes"].startswith(f"{scenes}, read ")
    assert re.match(r"[\d.]+ [kMG]B \([\d.]+ [kMG]B to [\d.]+ [kMG]B\) in [\d,]+ \(", rows["to read"])
    assert re.fullmatch(r"[\d.]+ [MG]B per worker", rows["memory"])
    assert "on 1 worker of 3 threads" in output
    assert rows["basis"].startswith("coefficients of sentinel-2-c1-l2a, median")
    assert "\x1b" not in output
    assert list(tmp_path.iterdir()) == []


def test_a_plan_needs_no_store(
    call: Call, sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = options(sample_cube(sample_archive), run_config("unused"))
    del words[words.index("--fsspec-uri") : words.index("--fsspec-uri") + 2]
    assert plan_rows(call("plan", *words))["chunks"] == "24"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["plan"], ["build", "--dry-run"]], ids=["plan", "dry run"])
@pytest.mark.parametrize(
    ("start", "end", "warning"),
    [
        ("2021-05", "2021-06", "no scene was found in any period; check collection, periods, area and bands"),
        ("2023-04", "2023-05", "no scene was found in 1 of 2 periods: 2023-04"),
    ],
)
def test_a_plan_warns_of_periods_without_a_scene_as_a_build_does(
    words: list[str], start: str, end: str, warning: str, call: Call, sample_archive: Path, tmp_path: Path
) -> None:
    cube = sample_cube(sample_archive, start_date=start, end_date=end)
    output = call(*words, *options(cube, run_config(tmp_path / "cube.zarr")))
    assert [line for line in output.splitlines() if line.startswith("warning")] == [f"warning  {warning}"]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_of_an_existing_cube_counts_the_missing_chunks(call: Call, sample_archive: Path, built: Built) -> None:
    later = sample_cube(sample_archive, end_date="2023-08-31")
    assert plan_rows(call("plan", *options(later, run_config(built.uri))))["chunks"] == "32, 8 not done yet"


def test_a_piped_build_prints_plain_lines_with_counts(built: Built) -> None:
    assert "\x1b" not in built.output
    lines = built.output.splitlines()
    assert next(line for line in lines if line.endswith(" scenes")).startswith("2023-05: ")
    assert "24 chunks to build" in lines
    chunks = [re.match(r"(\d+)/24 (\S+) (written|empty|failed)( \(.*[\d.]+ Mpx/s\))", line) for line in lines]
    ended = [found for found in chunks if found]
    assert [int(found[1]) for found in ended] == list(range(1, 25))
    assert {found[2] for found in ended} == {str(key) for key in records(built.uri)}
    statuses = [record.status for record in records(built.uri).values()]
    summary = f"chunks   {statuses.count('written')} written, {statuses.count('empty')} empty, 0 failed"
    assert summary in lines
    assert f"cube     {built.uri}" in lines
    assert any(re.fullmatch(r"time     [\d.]+ s, [\d.]+ Mpx, [\d.]+ Mpx/s", line) for line in lines)


def test_a_build_checks_its_request_once_and_searches_once_per_period(built: Built) -> None:
    assert (built.checks, built.searches) == (1, 3)


def test_a_build_on_a_terminal_draws_a_bar_with_counts_rate_and_time_left(
    sample_archive: Path, tmp_path: Path, prefect_server: Any
) -> None:
    uri = tmp_path / "cube.zarr"
    code, drawn = on_terminal(["build", *options(sample_cube(sample_archive, end_date="2023-05-31"), run_config(uri))])
    assert code == 0
    assert "\x1b[" in drawn
    frames = [_ESCAPES.sub("", frame) for frame in re.split(r"[\r\n]+", drawn)]
    bars = [frame for frame in frames if re.search(r"chunks .*[━╸╺].* \d+/8 ", frame)]
    assert bars, frames[-20:]
    assert re.search(r" 8/8 .*[\d.]+ Mpx/s .*\d+:\d+", bars[-1])
    assert any(re.search(r" [1-7]/8 .*Mpx/s", frame) or " 0/8 " in frame for frame in bars)
    assert any(re.search(r"(--|\d+):\d\d\s*$", frame) for frame in bars)
    assert any("0 failed" in frame for frame in frames)
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")  # the cursor is back
    assert len(records(uri)) == 8


def test_status_is_a_table_with_a_row_per_period(call: Call, built: Built) -> None:
    output = call("status", str(built.uri))
    rows = {cells[0]: cells for line in output.splitlines() if len(cells := re.findall(r"[\w.-]+", line)) > 4}
    ledger = records(built.uri)
    for period in ("2023-05", "2023-06", "2023-07"):
        own = [record.status for key, record in ledger.items() if key.period == period]
        assert rows[period][1:4] == [str(own.count(status)) for status in ("written", "empty", "failed")]
        days = ardcube.open(built.uri)["observation_count"].sel(time=period)
        assert rows[period][-1] == f"{float(days.mean()):.1f}"  # also where chunks are empty or small


def test_status_as_json_is_the_whole_ledger(call: Call, built: Built) -> None:
    printed = json.loads(call("status", str(built.uri), "--json"))
    ledger = records(built.uri)
    assert {chunk["key"]: chunk["status"] for chunk in printed["chunks"]} == {
        str(key): record.status for key, record in ledger.items()
    }
    assert len(printed["chunks"]) == 24
    assert all(chunk["attempts"] and chunk["inputs"] for chunk in printed["chunks"])
    assert printed["cube"]["identity"]["varname"] == "rgb_median"


def test_status_names_the_chunks_that_failed(call: Call, built: Built, tmp_path: Path) -> None:
    shutil.copytree(f"{built.uri}.ardcube", tmp_path / "cube.zarr.ardcube")
    attempts = (Attempt("2023-08-01T00:00:00Z", "here", 1.0, "SceneError: B03.tif is missing"),) * 2
    failed = ChunkRecord(ChunkKey("2023-08", 0, 1), "failed", "0" * 16, attempts)
    Ledger.at(str(tmp_path / "cube.zarr.ardcube")).write(failed)
    words = ("status", str(tmp_path / "cube.zarr"))
    assert "      1  B03.tif is missing\n" in call(*words)
    listed = call(*words, "--chunks").splitlines()
    assert listed[listed.index("      1  B03.tif is missing") + 1] == "         2023-08_y0000_x0001"


def test_status_counts_due_chunks_and_names_the_run_that_holds_the_cube(
    call: Call, built: Built, tmp_path: Path
) -> None:
    assert "\ndue      none of 24 chunks\nlease    no run writes this cube\n" in call("status", str(built.uri))
    shutil.copytree(f"{built.uri}.ardcube", tmp_path / "cube.zarr.ardcube")
    ledger = Ledger.at(str(tmp_path / "cube.zarr.ardcube"))
    kept = [record for record in ledger.records().values() if record.key.col > 0]
    ledger.place.remove(["ledger.parquet"])
    for record in kept[1:]:
        ledger.write(record)
    ledger.write(replace(kept[0], status="failed"))
    with holding(ledger.place, run="brisk-otter"):
        output = call("status", str(tmp_path / "cube.zarr"))
        printed = json.loads(call("status", str(tmp_path / "cube.zarr"), "--json"))
        table = ardcube.status(tmp_path / "cube.zarr").attrs
    assert "due      7 of 24 chunks: 1 failed, 6 never built\n" in output
    assert re.search(r"lease    \S+@\S+ \(process \d+, flow run brisk-otter\) since 20", output)
    assert (table["chunks"], table["due"], table["failed"], table["missing"]) == (24, 7, 1, 6)
    assert printed["held_by"] == table["held_by"]
    assert "brisk-otter" in table["held_by"]
    assert ardcube.status(built.uri).attrs["held_by"] is None


def test_status_of_a_store_that_needs_options(call: Call, moto_s3: Any, built: Built) -> None:
    fs = s3fs.S3FileSystem(**moto_s3.storage_options)
    fs.put(f"{built.uri}.ardcube", moto_s3.uri("cube.zarr.ardcube"), recursive=True)
    words = [f"--storage-option={name}={json.dumps(value) if isinstance(value, dict) else value}"
             for name, value in moto_s3.storage_options.items()]  # fmt: skip
    assert len(json.loads(call("status", moto_s3.uri("cube.zarr"), "--json", *words))["chunks"]) == 24


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")  # a picture has none
def test_export_prints_the_files(call: Call, built: Built, tmp_path: Path) -> None:
    words = ("export", str(built.uri), "--output", str(tmp_path / "files"))
    *files, counts, _ = call(*words).splitlines()
    assert counts == f"files    {len(files)} written"
    for file in files:
        with rasterio.open(file) as opened:
            assert opened.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert call(*words).splitlines()[0] == f"files    0 written, {len(files)} kept"


def test_fill_prints_the_shares_of_a_filled_cube(call: Call, built: Built, tmp_path: Path) -> None:
    words = (
        "fill",
        str(built.uri),
        "--method",
        "carry",
        "--max-periods",
        "1",
        "--output",
        str(tmp_path / "filled.zarr"),
    )
    first, second = call(*words).splitlines(), call(*words).splitlines()
    assert re.fullmatch(r"chunks   (\d+) of \1 filled", first[0])
    assert re.fullmatch(r"chunks   0 of (\d+) filled, \1 done before", second[0])
    assert re.fullmatch(r"pixels   [\d.]+% observed, [\d.]+% filled, [\d.]+% empty", first[1])
    assert first[1] == second[1]
    assert first[3] == f"cube     {tmp_path}/filled.zarr"
    filled = f"\nfilled   gaps filled by carry within 1 period, from {built.uri}\n"
    assert filled in call("status", f"{tmp_path}/filled.zarr")
    assert "filled" not in call("status", str(built.uri))


def test_quicklook_draws_a_picture_per_period(call: Call, built: Built, tmp_path: Path) -> None:
    paths = call("quicklook", str(built.uri), "--output", str(tmp_path / "pictures")).splitlines()
    assert [Path(path).name for path in paths] == [f"rgb_median_2023-0{month}.png" for month in (5, 6, 7)]
    with rasterio.open(paths[0]) as picture:
        assert picture.count == 4
        assert picture.read(4).any()


@pytest.mark.parametrize("command", ["stac", "export", "quicklook", "report"])
@pytest.mark.parametrize("output", ["{file}/folder", "/proc/none/folder"])
def test_a_folder_that_cannot_be_created_is_one_line(
    command: str, output: str, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "file").touch()
    where = output.format(file=tmp_path / "file")
    monkeypatch.setattr(sys, "argv", ["ardcube", command, str(built.uri), "--output", where])
    with pytest.raises(SystemExit) as caught:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert where.rpartition("/")[0] in line
    assert re.search(r"; (choose|create) ", line)


def test_report_writes_one_page(call: Call, built: Built, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert call("report", str(built.uri), "--output", str(page)).strip() == str(page)
    text = page.read_text()
    assert f"<h1>{Path(built.uri).stem}</h1>" in text
    assert text.count("data:image/webp;base64,") == 6  # of three periods: composite and clear days
    assert len(text) < 1_000_000
