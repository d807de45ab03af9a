"""Pictures of large cubes: a counted bound on the objects that are read, from the pyramid or a sample."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import ardcube
import ardcube.report.html.pictures
import ardcube.report.preview
import ardcube.report.quicklook
from ardcube.ledger.ledger import Ledger
from ardcube.report.preview import draw_preview
from ardcube.report.quicklook import write_quicklooks
from ardcube.report.snapshot import CubeSnapshot
from ardcube.storage.place import Place
from benchmarks.counted_reads import counted_reads
from benchmarks.large_cube import LargeCube, make_cube

LIMITS = {ardcube.report.quicklook: 240, ardcube.report.preview: 80, ardcube.report.html.pictures: 80}
"""Limit of tiles in these tests, by module."""


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cube(tmp_path_factory.mktemp("flat"), LargeCube(2, 24, 24, 16))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cube(tmp_path_factory.mktemp("sharded"), LargeCube(2, 12, 12, 16, shard=2))


@pytest.fixture(scope="module")
def geozarr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_cube(tmp_path_factory.mktemp("geozarr"), LargeCube(2, 12, 12, 64, layout="geozarr"))


@pytest.fixture(autouse=True)
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, tiles in LIMITS.items():
        monkeypatch.setattr(module, "LIMIT", replace(module.LIMIT, tiles=tiles, sampled=9))


def report(uri: Path, folder: Path) -> None:
    ardcube.write_report(uri, folder / "page.html")


def preview(uri: Path, _folder: Path) -> None:
    place = Place.at(str(uri))
    snapshot = CubeSnapshot.take(place, {}, Ledger.of_store(place))
    assert snapshot is not None
    assert draw_preview(snapshot) is not None


def quicklook(uri: Path, folder: Path) -> None:
    write_quicklooks(str(uri), folder)


MOST = {
    (quicklook, "flat"): 240,
    (quicklook, "sharded"): 2 * 240,  # the index of a shard, and a chunk of it
    (quicklook, "geozarr"): 240,
    (report, "flat"): 2 * 80,  # colours and clear days
    (report, "sharded"): 2 * 80,  # whole shards
    (report, "geozarr"): 4 * 80,  # three bands and clear days
    (preview, "flat"): 2 * 80,
    (preview, "sharded"): 2 * 80,
    (preview, "geozarr"): 4 * 80,
}
"""Requests at most."""


@pytest.mark.parametrize("draw", [quicklook, report, preview])
@pytest.mark.parametrize("layout", ["flat", "sharded", "geozarr"])
def test_few_objects_are_read(
    draw: Callable[[Path, Path], None], layout: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with counted_reads() as reads:
        draw(request.getfixturevalue(layout), tmp_path)
    coordinates = 10
    assert 20 < reads.requests <= MOST[draw, layout] + coordinates


def colours(path: Path) -> NDArray[np.uint8]:
    """Return the middle of a picture, without its frame: uint8 (y, x, 4)."""
    picture = np.asarray(Image.open(path).convert("RGBA"))
    high, wide, _ = picture.shape
    return picture[high // 6 : -high // 6, wide // 6 : -wide // 6]


def test_a_sample_shows_the_whole_cube_in_squares(flat: Path, tmp_path: Path) -> None:
    sampled = write_quicklooks(str(flat), tmp_path / "sample")
    complete = write_quicklooks(str(flat), tmp_path / "all", all_pixels=True)
    assert [path.name for path in sampled] == [path.name for path in complete]
    assert [path.with_suffix(".pgw").read_text() for path in sampled] == [
        path.with_suffix(".pgw").read_text() for path in complete
    ]
    seen, all_of_it = colours(sampled[0]), colours(complete[0])
    assert len(np.unique(seen.reshape(-1, 4), axis=0)) < 300
    both = (seen[..., 3] > 0) & (all_of_it[..., 3] > 0)
    assert both.mean() > 0.8
    for band in range(2):
        assert np.corrcoef(seen[both][:, band], all_of_it[both][:, band])[0, 1] > 0.9
    assert np.asarray(Image.open(sampled[0])).shape == np.asarray(Image.open(complete[0])).shape


def test_a_level_of_the_pyramid_replaces_the_sample(geozarr: Path, tmp_path: Path) -> None:
    from_level = write_quicklooks(str(geozarr), tmp_path / "level")
    complete = write_quicklooks(str(geozarr), tmp_path / "all", all_pixels=True)
    seen, all_of_it = colours(from_level[1]), colours(complete[1])
    assert len(from_level) == 2
    assert len(np.unique(seen.reshape(-1, 4), axis=0)) > 1000  # texture, not squares
    for band in range(3):
        means = [one[..., band][one[..., 3] > 0].mean() for one in (seen, all_of_it)]
        assert means[0] == pytest.approx(means[1], abs=15)  # pixels of the level are made, not averaged


def test_levels_that_are_not_built_are_not_read(geozarr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was interrupted has pixels and no levels."""
    monkeypatch.setattr(Ledger, "of_level", lambda ledger, level: Ledger(ledger.place.child(f"levels/none-{level}")))
    paths = write_quicklooks(str(geozarr), tmp_path)
    seen = colours(paths[0])
    assert len(np.unique(seen.reshape(-1, 4), axis=0)) < 300


def test_periods_that_are_left_out_are_logged(
    flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ardcube.report.quicklook, "LIMIT", replace(ardcube.report.quicklook.LIMIT, pictures=1))
    paths = write_quicklooks(str(flat), tmp_path)
    assert [path.name for path in paths] == ["rgb_median_2020-02.png"]
    assert "pictures of 1 of 2 periods, evenly spread; --all-pixels draws all" in caplog.text


def test_very_many_pictures_are_smaller(flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ardcube.report.quicklook, "_MOST_DRAWN", 2 * 100 * 100)
    pictures = [np.asarray(Image.open(path)) for path in write_quicklooks(str(flat), tmp_path)]
    assert len(pictures) == 2
    assert all(picture.shape[0] < 200 for picture in pictures)
