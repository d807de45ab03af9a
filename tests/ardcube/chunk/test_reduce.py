"""Chunks of a pyramid's levels: made of the chunks below, whatever their size, order or layout."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from ardcube.chunk.build import process_chunk
from ardcube.chunk.open_cube import OpenCube
from ardcube.errors import StoreError
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.jobs import ChunkKey
from ardcube.storage.place import Place
from ardcube.store import layouts
from tests.ardcube.pyramid_cube import (
    build_levels,
    create,
    halved,
    jobs_of,
    opened,
    random_values,
    spec_of,
    write_base,
)

Records = dict[ChunkKey, ChunkRecord]


@pytest.mark.parametrize(("chunk", "shard"), [(256, 1), (128, 2), (301, 1), (2000, 1)])
def test_levels_have_means_of_valid_pixels_and_nearest_counts(place: Place, chunk: int, shard: int) -> None:
    spec = spec_of(place)
    create(place, spec, chunk, shard)
    values = random_values(spec, 1)
    build_levels(spec, write_base(spec, values, chunk * shard), chunk * shard)
    layouts.check(place, spec, chunk, shard)
    assert [(level.grid.height, level.grid.width) for level in layouts.levels_of(spec)] == [
        (515, 1127),
        (258, 564),
        (129, 282),
    ]
    names = {array.name for array in spec.arrays}
    assert {"median_red", "std_nir", "geomedian_nir", "emad", "observation_count"} < names
    for level in range(3):
        found = opened(spec, level)
        for array in spec.arrays:
            if level:
                layer = array.layer
                values[array.name] = halved(values[array.name], layer.fill, mean=layer.name != "observation_count")
            np.testing.assert_array_equal(found[array.name][0], values[array.name], array.name)


def test_the_order_of_chunks_changes_no_byte(tmp_path: Path) -> None:
    stores = []
    for number in range(2):
        place = Place.at(str(tmp_path / f"{number}.zarr"))
        spec = spec_of(place, ("median",))
        create(place, spec, 100)
        records = write_base(spec, random_values(spec, 2), 100)
        for level in layouts.levels_of(spec)[1:]:
            jobs = jobs_of(level, records, 100)
            random.Random(number).shuffle(jobs)
            cube = OpenCube(level)
            records = {job.key: process_chunk(cube, job) for job in jobs}
        stores.append({name: place.read(name) for name in place.list()})
    assert stores[0] == stores[1]


def test_a_chunk_that_changed_changes_the_inputs_of_the_chunks_above_it_and_of_no_other(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 64)
    values = random_values(spec, 3)
    records = write_base(spec, values, 64)
    build_levels(spec, records, 64)
    (changed,) = [key for key in records if (key.row, key.col) == (5, 11)]
    before, above = records, []
    after: Records = {**records, changed: ChunkRecord(changed, "empty", "other inputs", ())}
    for level in layouts.levels_of(spec)[1:]:
        old = {job.key: job.inputs for job in jobs_of(level, before, 64)}
        new = {job.key: job.inputs for job in jobs_of(level, after, 64)}
        above += [(key.row, key.col) for key in old if old[key] != new[key]]
        before = {key: ChunkRecord(key, "written", inputs, ()) for key, inputs in old.items()}
        after = {key: ChunkRecord(key, "written", inputs, ()) for key, inputs in new.items()}
    assert above == [(2, 5), (1, 2)]


def test_pixels_that_disappear_below_disappear_from_the_level(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 256)
    values = random_values(spec, 4)
    build_levels(spec, write_base(spec, values, 256), 256)
    assert (Path(local.path) / "2/red/c/0/0/1").exists()
    for array in spec.arrays:
        values[array.name][:, 512:] = array.layer.fill
    build_levels(spec, write_base(spec, values, 256), 256)
    found = opened(spec, 2)["red"][0]
    assert not (Path(local.path) / "2/red/c/0/0/1").exists()
    assert found[:, :128].any()
    assert not found[:, 128:].any()


def test_a_damaged_chunk_below_is_one_error_that_names_the_level(local: Place) -> None:
    spec = spec_of(local, ("median",))
    create(local, spec, 256)
    records = write_base(spec, random_values(spec, 5), 256)
    (Path(local.path) / "0/red/c/0/0/0").write_bytes(b"\x02\x01\x01\x02damaged chunk ")
    level = layouts.levels_of(spec)[1]
    job = jobs_of(level, records, 256)[0]
    with pytest.raises(StoreError, match=r"cube.zarr/0 is damaged"):
        process_chunk(OpenCube(level), job)
