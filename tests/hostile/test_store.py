"""Zarr metadata that somebody edited: the store is read and written as it should be, or refused in one line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from ardcube.errors import ArdcubeError, StoreError
from ardcube.ledger.last_plan import read_planned
from ardcube.ledger.stored_cube import StoredCube
from ardcube.plan.plan import CubePlan
from ardcube.prepare.initialize import initialize
from ardcube.prepare.planning import make_plan, search_scenes
from ardcube.report.preview import draw_preview
from ardcube.report.quicklook import write_quicklooks
from ardcube.report.state_map import chunk_states
from ardcube.storage.place import Place
from ardcube.store.writer import CubeStore
from tests.hostile.cubes import SpoiledCube, spoiled_cube
from tests.hostile.mutation import DEEP, damaged, mutated, text_of
from tests.hostile.promise import answer, hostile
from tests.strategies import BANDS


def plan_of(spoiled: SpoiledCube, **more: object) -> CubePlan:
    """What a build is about to do."""
    request = spoiled.request(**more)
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    return plan


def write(spoiled: SpoiledCube) -> None:
    """Build a chunk, and find it."""
    plan = plan_of(spoiled)
    job = plan.jobs[1]
    values = np.full((*job.window.shape, len(BANDS)), 4711, np.uint16)
    opened = CubeStore.open(plan.spec)
    opened.write_chunk(job.time_index, job.window, values, values[..., 0])
    rows, cols = job.window.slices
    again = open_for_reading(spoiled, plan)
    assert (again[job.time_index, rows, cols] == 4711).all()


def open_for_reading(spoiled: SpoiledCube, plan: CubePlan) -> Any:
    """The array as another program finds it."""
    import zarr

    return zarr.open_array(spoiled.store / plan.spec.varname, mode="r", zarr_format=3)


def look(spoiled: SpoiledCube) -> None:
    """Draw pictures."""
    write_quicklooks(str(spoiled.store), spoiled.folder / "cube.zarr.ardcube" / "pictures")


def preview(spoiled: SpoiledCube) -> None:
    """Draw what the page of a run shows."""
    cube = StoredCube.read(spoiled.ledger)
    assert cube is not None
    planned = read_planned(spoiled.ledger, cube.grid, cube.config.tile_size)
    assert planned is not None
    states = chunk_states([p.label for p in cube.periods], planned.tiles, spoiled.ledger.records().values())
    draw_preview(Place.at(str(spoiled.store)), None, cube, states)


def overwrite(spoiled: SpoiledCube) -> None:
    """A cube can always be built anew."""
    from ardcube.prepare.initialize import remove_cube

    remove_cube(spoiled.request(overwrite=True))
    plan_of(spoiled)


USES: tuple[Callable[[SpoiledCube], None], ...] = (write, look, preview)


@hostile(20)
def test_edited_metadata_are_used_or_refused(random: Random) -> None:
    with spoiled_cube() as spoiled:
        file = random.choice(sorted(spoiled.store.rglob("zarr.json")))
        document = json.loads(file.read_bytes())
        content = text_of(mutated(document, random))
        file.write_bytes(damaged(content, random) if random.random() < 0.1 else content)
        use = random.choice(USES)
        answer(lambda: use(spoiled))
        overwrite(spoiled)


@hostile(12)
def test_spoiled_pixels_are_shown_or_refused(random: Random) -> None:
    with spoiled_cube() as spoiled:
        file = random.choice([file for file in spoiled.files() if file.is_relative_to(spoiled.store)])
        file.write_bytes(damaged(file.read_bytes(), random))
        for use in (look, preview):
            answer(lambda use=use: use(spoiled))


def test_pixels_that_say_to_be_of_a_negative_length_are_refused() -> None:
    with spoiled_cube() as spoiled:
        for file in (spoiled.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes((content := file.read_bytes())[:4] + b"\xff\xff\xff\xff" + content[8:])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(spoiled)


def test_a_list_of_bands_that_states_too_many_names_is_refused_before_memory_is_taken() -> None:
    with spoiled_cube() as spoiled:
        names = spoiled.store / "band" / "c" / "0"
        names.write_bytes(b"\xff\xff\xff\xff" + names.read_bytes()[4:])
        with pytest.raises(StoreError, match="states 4294967295 strings"):
            look(spoiled)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_metadata_of_version_2_that_name_a_codec_that_unpickles_are_refused(place: str) -> None:
    """The one codec that runs code from data; zarr has refused it so far by accident of its data types."""
    with spoiled_cube() as spoiled:
        pickling = {"id": "pickle", "protocol": 5}
        old = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<u2", "order": "C", "fill_value": 0,
               "filters": [pickling] if place == "filters" else None,
               "compressor": pickling if place == "compressor" else None}  # fmt: skip
        (spoiled.store / "band" / ".zarray").write_text(json.dumps(old))
        (spoiled.store / "band" / "0").write_bytes(pickle.dumps(Tripwire(str(spoiled.folder / "run"))))
        group = json.loads((spoiled.store / "zarr.json").read_text())
        group["consolidated_metadata"]["metadata"]["band"] = old
        (spoiled.store / "zarr.json").write_text(json.dumps(group))
        for use in USES:
            with pytest.raises(ArdcubeError, match="is damaged, or was edited"):
                use(spoiled)
        assert not (spoiled.folder / "run").exists()


class Tripwire:
    """Leaves a trace where it is unpickled."""

    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (self.file, "w")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("codecs", 0, "name"), "os.system"),
        (("codecs",), [{"name": "numcodecs.pickle", "configuration": {}}]),
        (("data_type",), "object"),
        (("data_type",), {"name": "null_terminated_bytes", "configuration": {"length_bytes": 2**40}}),
        (("shape", 1), 2**40),
        (("chunk_grid", "configuration", "chunk_shape", 1), 8),
        (("fill_value",), 7),
        (("zarr_format",), 2),
    ],
)
@pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "in one place"])
def test_what_no_cube_says_is_refused_before_anything_is_built(path: Any, value: Any, everywhere: bool) -> None:
    with spoiled_cube() as spoiled:
        own, group = spoiled.store / "rgb_median" / "zarr.json", spoiled.store / "zarr.json"
        arrays, whole = json.loads(own.read_text()), json.loads(group.read_text())
        changed(arrays, path, value)
        own.write_text(json.dumps(arrays))
        if everywhere:
            changed(whole["consolidated_metadata"]["metadata"]["rgb_median"], path, value)
            group.write_text(json.dumps(whole))
        with pytest.raises(StoreError, match="is damaged, or was edited"):
            plan_of(spoiled)


def changed(document: Any, path: Any, value: Any) -> None:
    *steps, last = path
    for step in steps:
        document = document[step]
    document[last] = value


def test_metadata_nested_without_end_are_refused() -> None:
    with spoiled_cube() as spoiled:
        (spoiled.store / "rgb_median" / "zarr.json").write_text("[" * DEEP)
        with pytest.raises(StoreError, match="is damaged, or was edited"):
            plan_of(spoiled)


@pytest.mark.parametrize("length", [b"\0\0\0\x10", b"\x11\0\0\0", b"\0\0\0\0"], ids=["far more", "less", "none"])
def test_pixels_that_say_to_be_of_another_length_are_refused(length: bytes) -> None:
    """The C library would read beyond their end."""
    with spoiled_cube() as spoiled:
        for file in (spoiled.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes((content := file.read_bytes())[:12] + length + content[16:])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(spoiled)


def test_pixels_that_were_cut_short_are_refused() -> None:
    with spoiled_cube() as spoiled:
        for file in (spoiled.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:10])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(spoiled)
