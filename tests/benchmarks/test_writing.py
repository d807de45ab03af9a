"""The benchmark of writing: every codec and layout returns the pixels, and the counts are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.writing import PERIODS, Composite, codecs, measure_codecs, measure_layouts


@pytest.fixture
def composite() -> Composite:
    rng = np.random.default_rng(1)
    values = rng.integers(1000, 1500, (64, 64, 2)).astype(np.uint16)
    return Composite("noise", values, np.full((64, 64), 3, np.uint16), {})


def test_each_codec_returns_the_pixels_and_all_but_one_save_space(composite: Composite) -> None:
    costs = list(measure_codecs(composite, repeats=1))  # it compares the pixels
    of_composite = {cost.codec: cost.share for cost in costs if cost.array == "composite"}
    assert of_composite.keys() == codecs().keys()
    assert of_composite["none"] == 1
    assert all(share < 1 for name, share in of_composite.items() if name != "none")


def test_layouts_differ_in_objects_and_in_the_bytes_that_a_reader_fetches(composite: Composite, tmp_path: Path) -> None:
    plain, small, shards = measure_layouts(composite, [(64, 1), (16, 1), (16, 4)], tmp_path, repeats=1)
    assert (plain.objects, small.objects, shards.objects) == (8 * PERIODS, 128 * PERIODS, 8 * PERIODS)
    assert (plain.series_requests, small.series_requests, shards.series_requests) == (PERIODS, PERIODS, 2 * PERIODS)
    assert small.series_kb < shards.series_kb < plain.series_kb / 4
