"""Edited and damaged stores: they are read and written correctly, or refused in one line."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest

from ardcube.errors import ArdcubeError, StoreError
from ardcube.planning.plan import CubePlan
from ardcube.prepare.initialize import initialize
from ardcube.prepare.make_plan import make_plan, search_scenes
from ardcube.report.preview import draw_preview
from ardcube.report.quicklook import write_quicklooks
from ardcube.report.snapshot import CubeSnapshot
from ardcube.storage.place import Place
from ardcube.store.writer import CubeStore
from tests.hostile.cubes import BuiltCube, built_cube
from tests.hostile.mutation import DEEP, damaged, mutated, text_of
from tests.hostile.promise import answer, hostile
from tests.strategies import BANDS


def plan_of(built: BuiltCube, **more: object) -> CubePlan:
    """Plan a build and initialize its store."""
    request = built.request(**more)
    plan = make_plan(request, search_scenes(request))
    initialize(request, plan)
    return plan


def write(built: BuiltCube) -> None:
    """Write a chunk and read it again."""
    plan = plan_of(built)
    job = plan.jobs[1]
    values = np.full((*job.window.shape, len(BANDS)), 4711, np.uint16)
    opened = CubeStore.open(plan.spec)
    opened.write_chunk(job.time_index, job.window, values, values[..., 0])
    rows, cols = job.window.slices
    again = open_for_reading(built, plan)
    assert (again[job.time_index, rows, cols] == 4711).all()


def open_for_reading(built: BuiltCube, plan: CubePlan) -> Any:
    """Open the array with zarr."""
    import zarr

    return zarr.open_array(built.store / plan.spec.varname, mode="r", zarr_format=3)


def look(built: BuiltCube) -> None:
    """Draw quicklooks."""
    write_quicklooks(str(built.store), built.folder / "cube.zarr.ardcube" / "pictures")


def preview(built: BuiltCube) -> None:
    """Draw the preview of the report."""
    snapshot = CubeSnapshot.take(Place.at(str(built.store)), {}, built.ledger)
    assert snapshot is not None
    draw_preview(snapshot)


def overwrite(built: BuiltCube) -> None:
    """Remove the cube and plan it again, which must always be possible."""
    from ardcube.prepare.initialize import remove_cube

    remove_cube(built.request(overwrite=True))
    plan_of(built)


USES: tuple[Callable[[BuiltCube], None], ...] = (write, look, preview)


@hostile(20)
def test_edited_metadata_are_used_or_refused(random: Random) -> None:
    with built_cube() as built:
        file = random.choice(sorted(built.store.rglob("zarr.json")))
        document = json.loads(file.read_bytes())
        content = text_of(mutated(document, random))
        file.write_bytes(damaged(content, random) if random.random() < 0.1 else content)
        use = random.choice(USES)
        answer(lambda: use(built))
        overwrite(built)


@hostile(12)
def test_damaged_pixels_are_shown_or_refused(random: Random) -> None:
    with built_cube() as built:
        file = random.choice([file for file in built.files() if file.is_relative_to(built.store)])
        file.write_bytes(damaged(file.read_bytes(), random))
        for use in (look, preview):
            answer(lambda use=use: use(built))


def test_pixels_with_a_negative_length_are_refused() -> None:
    with built_cube() as built:
        for file in (built.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes((content := file.read_bytes())[:4] + b"\xff\xff\xff\xff" + content[8:])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(built)


def test_a_list_of_bands_that_states_too_many_names_is_refused_before_memory_is_taken() -> None:
    with built_cube() as built:
        names = built.store / "band" / "c" / "0"
        names.write_bytes(b"\xff\xff\xff\xff" + names.read_bytes()[4:])
        with pytest.raises(StoreError, match="states 4294967295 strings"):
            look(built)


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_metadata_of_version_2_with_a_codec_that_unpickles_are_refused(place: str) -> None:
    """This codec runs code from data; zarr refuses it only because of its data types."""
    with built_cube() as built:
        pickling = {"id": "pickle", "protocol": 5}
        old = {"zarr_format": 2, "shape": [4], "chunks": [4], "dtype": "<u2", "order": "C", "fill_value": 0,
               "filters": [pickling] if place == "filters" else None,
               "compressor": pickling if place == "compressor" else None}  # fmt: skip
        (built.store / "band" / ".zarray").write_text(json.dumps(old))
        (built.store / "band" / "0").write_bytes(pickle.dumps(Tripwire(str(built.folder / "run"))))
        group = json.loads((built.store / "zarr.json").read_text())
        group["consolidated_metadata"]["metadata"]["band"] = old
        (built.store / "zarr.json").write_text(json.dumps(group))
        for use in USES:
            with pytest.raises(ArdcubeError, match="is damaged, or was edited"):
                use(built)
        assert not (built.folder / "run").exists()


class Tripwire:
    """An object that creates a file when it is unpickled."""

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
@pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "one place"])
def test_metadata_of_another_layout_are_refused_before_a_build(path: Any, value: Any, everywhere: bool) -> None:
    with built_cube() as built:
        own, group = built.store / "rgb_median" / "zarr.json", built.store / "zarr.json"
        arrays, whole = json.loads(own.read_text()), json.loads(group.read_text())
        changed(arrays, path, value)
        own.write_text(json.dumps(arrays))
        if everywhere:
            changed(whole["consolidated_metadata"]["metadata"]["rgb_median"], path, value)
            group.write_text(json.dumps(whole))
        with pytest.raises(StoreError, match="is damaged, or was edited"):
            plan_of(built)


def changed(document: Any, path: Any, value: Any) -> None:
    *steps, last = path
    for step in steps:
        document = document[step]
    document[last] = value


def test_deeply_nested_metadata_are_refused() -> None:
    with built_cube() as built:
        (built.store / "rgb_median" / "zarr.json").write_text("[" * DEEP)
        with pytest.raises(StoreError, match="is damaged, or was edited"):
            plan_of(built)


@pytest.mark.parametrize("length", [b"\0\0\0\x10", b"\x11\0\0\0", b"\0\0\0\0"], ids=["far more", "less", "none"])
def test_pixels_with_a_wrong_length_are_refused(length: bytes) -> None:
    """The C library would read beyond the end of the buffer."""
    with built_cube() as built:
        for file in (built.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes((content := file.read_bytes())[:12] + length + content[16:])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(built)


def test_truncated_pixels_are_refused() -> None:
    with built_cube() as built:
        for file in (built.store / "rgb_median" / "c").rglob("*"):
            if file.is_file():
                file.write_bytes(file.read_bytes()[:10])
        for use in (look, preview):
            with pytest.raises(StoreError, match="is damaged, or was edited"):
                use(built)
