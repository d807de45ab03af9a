"""Warnings of a plan."""

from __future__ import annotations

import pytest

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.pixels.masks import CloudMaskHook, DefaultCloudMaskHook, SCLCloudMaskHook
from ardcube.prepare.pending import small_radii
from tests.strategies import raster_band, stac_item


@pytest.fixture
def scene() -> Scene:
    assets = {
        "red": {"href": "https://127.0.0.1:1/red.tif", "raster:bands": raster_band()},
        "scl": {"href": "https://127.0.0.1:1/scl.tif", "gsd": 20, "raster:bands": [{"nodata": 0}]},
    }
    return parse_scene(stac_item(assets=assets), None, ["red"], ["scl"])


@pytest.mark.parametrize(
    ("mask", "named"),
    [
        (SCLCloudMaskHook(), []),
        (SCLCloudMaskHook(closing=20, opening=0), []),
        (SCLCloudMaskHook(closing=5, opening=19.5, buffer=0), ["closing 5 m", "opening 19.5 m"]),
        (SCLCloudMaskHook(buffer=3), ["buffer 3 m"]),
        (DefaultCloudMaskHook(), []),
    ],
)
def test_a_radius_below_one_pixel_of_the_classification_gives_a_warning(
    scene: Scene, mask: CloudMaskHook, named: list[str]
) -> None:
    """Options of earlier versions counted pixels."""
    lines = small_radii(mask, {"2023-01": [], "2023-02": [scene, scene]})
    assert lines == [
        f"cloud mask scl: {name} is less than a pixel of scl (20 m) and changes nothing; give metres, because only "
        "earlier versions counted pixels"
        for name in named
    ]


def test_a_plan_without_scenes_gives_no_warning() -> None:
    assert small_radii(SCLCloudMaskHook(closing=5), {"2023-01": []}) == []
