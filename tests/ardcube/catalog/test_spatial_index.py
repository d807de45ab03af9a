"""Spatial index: the scenes whose reach intersects an area, in order of time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from ardcube.catalog.scene import Scene
from ardcube.catalog.spatial_index import AreaIndex, SceneIndex
from tests.strategies import FEW, scene


def boxes(most: float = 0.5) -> st.SearchStrategy[tuple[float, float, float, float]]:
    corner, side = st.floats(14, 16), st.floats(0.01, most)
    return st.builds(lambda x, y, w, h: (x, y + 30, x + w, y + 30 + h), corner, corner, side, side)


@FEW
@given(footprints=st.lists(boxes(), max_size=8), areas=st.lists(boxes(0.2), min_size=1, max_size=8))
def test_both_indexes_find_exactly_the_scenes_whose_reach_intersects_an_area(
    footprints: list[tuple[float, float, float, float]], areas: list[tuple[float, float, float, float]]
) -> None:
    scenes = [scene(f"s{i}", f"2023-08-{15 + i % 3}T10:00:0{i}Z", box) for i, box in enumerate(footprints)]
    index = SceneIndex(scenes)
    wanted = [shapely.box(*area) for area in areas]
    expected = [[i for i, s in enumerate(scenes) if s.reach().intersects(area)] for area in wanted]

    starts, members = AreaIndex(np.array(wanted)).join(scenes)
    assert [members[a:b].tolist() for a, b in pairwise(starts)] == expected
    for area, members in zip(wanted, expected, strict=True):
        assert index.query(area) == [scenes[i] for i in members]


def test_a_scene_is_found_within_the_margin_of_an_area_and_not_beyond() -> None:
    near, far = scene("near", box=(15.0, 0, 15.1, 0.1)), scene("far", box=(14.9, 0, 15.0, 0.1))
    found: list[Scene] = SceneIndex([near, far]).query(shapely.box(15.119, 0, 15.2, 0.1))
    assert [s.id for s in found] == ["near"]


def test_an_index_without_scenes_finds_nothing() -> None:
    empty = SceneIndex([])
    assert empty.query(shapely.box(0, 0, 1, 1)) == []
    starts, members = AreaIndex(np.array([shapely.box(0, 0, 1, 1)])).join([])
    assert (starts.tolist(), members.tolist()) == ([0, 0], [])
