"""Each item has the band of the mask that its definition names, and the numbers of its classes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import shapely

from ardcube.catalog.items import parse_scene
from ardcube.catalog.scene import Scene
from ardcube.collections.registry import load_definitions
from ardcube.config import CubeConfig
from ardcube.errors import InputError, SceneError
from ardcube.pixels.masks import AutoCloudMaskHook, cloud_mask, mask_options
from ardcube.prepare.scene_mask import FirstItems, categories_of, choose_mask
from tests.ardcube.collections.expected import ITEMS, Expected, address_of
from tests.ardcube.collections.made import MADE
from tests.strategies import stac_item

KNOWN = load_definitions()
KEYS = {
    "scl": ("SCL_20m", "SCL", "scl"),
    "qa_pixel": ("qa_pixel", "QA_PIXEL", "QA_PIXEL.TIF"),
    "fmask": ("Fmask", "fmask"),
}
"""Asset keys of the bands of masks."""
CUBE = CubeConfig(bbox=(0, 0, 1, 1), start_date="2023-01-01", end_date="2023-02-01", cloud_mask="auto")


def chosen(items: Iterable[dict[str, Any]], cube: CubeConfig = CUBE) -> Any:
    """Return configuration and mask of a cube of items whose mask is `auto`."""
    mask = cloud_mask(cube.cloud_mask, cube.cloud_mask_options)
    return choose_mask(cube, mask, lambda: [FirstItems(KNOWN, items)])


def parsed(item: dict[str, Any], mask: Any) -> Scene:
    return parse_scene(placed(item), None, ("red",), categories_of(mask), KNOWN)


def placed(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item with a place, because that of an item at 180 degrees is invalid, and with a time."""
    return item | {
        "geometry": shapely.geometry.mapping(shapely.box(0, 0, 1, 1)),
        "properties": {"datetime": "2023-01-10T10:00:00Z"} | item["properties"],
    }


def check(item: dict[str, Any]) -> None:
    cube, mask = chosen([item])
    definition = KNOWN.of(item)
    assert definition is not None
    assert cube.cloud_mask == mask.name == definition.mask
    asset = parsed(item, mask).bands[mask.name]
    key = next(key for key in KEYS[mask.name] if key in item["assets"])
    assert asset.href == address_of(item["assets"][key])
    if mask.name == "qa_pixel":
        assert asset.classes == {
            "fill": [[1, 1]],
            "dilated": [[2, 2]],
            "cirrus": [[4, 4]],
            "cloud": [[8, 8]],
            "shadow": [[16, 16]],
        }
        assert asset.nodata == 1
    elif mask.name == "fmask":
        assert asset.classes == {"cloud": [[2, 2]], "dilated": [[4, 4]], "shadow": [[8, 8]]}
        assert (asset.nodata, asset.overviews) == (255, "nearest")
    else:
        assert asset.classes == {}


@pytest.mark.parametrize(
    "name",
    [name for name, (item, _) in MADE.items() if {*item["assets"]} & {*chain(*KEYS.values())} and KNOWN.of(item)],
)
def test_an_item_in_the_form_of_each_catalogue_has_its_mask(name: str) -> None:
    check(MADE[name][0])


@pytest.mark.real
@pytest.mark.parametrize("expected", [one for one in ITEMS if one.definition], ids=lambda one: Path(one.file).stem)
def test_a_recorded_item_has_its_mask(shared_real: Path, expected: Expected) -> None:
    check(json.loads((shared_real / expected.file).read_text()))


# ---- auto ----------------------------------------------------------------------------------------


def test_a_mask_chosen_by_auto_is_the_same_as_the_one_given_by_name() -> None:
    item = MADE["lp cloud hls l30"][0]
    cube, mask = chosen([item], CUBE.model_copy(update={"cloud_mask_options": {"buffer": 60}}))
    named = CUBE.model_copy(update={"cloud_mask": "fmask", "cloud_mask_options": {"buffer": 60}})
    assert (cube, mask) == (named, cloud_mask("fmask", {"buffer": 60}))


def test_each_scene_of_several_definitions_needs_the_band_of_one_mask() -> None:
    hls, landsat = MADE["lp cloud hls l30"][0], MADE["usgs landsat"][0]
    cube, mask = chosen([hls, landsat])
    assert (cube.cloud_mask, cube.cloud_mask_options) == ("auto", {"masks": ["fmask", "qa_pixel"]})
    assert list(parsed(hls, mask).bands) == ["red", "fmask"]
    assert list(parsed(landsat, mask).bands) == ["red", "qa_pixel"]
    again = cloud_mask(cube.cloud_mask, cube.cloud_mask_options)
    assert again == mask
    assert mask_options(again) == {
        "fmask": mask_options(cloud_mask("fmask")),
        "qa_pixel": mask_options(cloud_mask("qa_pixel")),
    }
    assert choose_mask(cube, again, list) == (cube, again)


def test_a_scene_whose_mask_the_cube_does_not_have_is_bad() -> None:
    _, mask = chosen([MADE["lp cloud hls l30"][0], MADE["usgs landsat"][0]])
    other = next(item for item, _ in MADE.values() if (known := KNOWN.of(item)) and known.mask == "scl")
    with pytest.raises(SceneError, match=r"has the cloud mask scl, and the cube has fmask, qa_pixel; choose one mask"):
        parsed(other, mask)
    with pytest.raises(SceneError, match="no definition recognizes it, so its cloud mask is unknown"):
        parsed(stac_item(), mask)


def test_the_named_definition_of_a_collection_decides_without_an_item() -> None:
    _, mask = choose_mask(CUBE, AutoCloudMaskHook(), lambda: [FirstItems(load_definitions("hls-s30"), [])])
    assert mask == cloud_mask("fmask")


def test_collections_of_a_pool_may_have_different_masks() -> None:
    sources = [
        FirstItems(KNOWN, [MADE["lp cloud hls l30"][0]]),
        FirstItems(load_definitions("cdse-sentinel-2-l2a"), []),
    ]
    cube, mask = choose_mask(CUBE, AutoCloudMaskHook(), lambda: sources)
    assert cube.cloud_mask_options == {"masks": ["fmask", "scl"]}
    assert mask == cloud_mask("auto", {"masks": ["scl", "fmask"]})


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            [],
            "cloud-mask auto: no scene is found whose definition names a mask; choose one of cloud_probability, fmask",
        ),
        ([stac_item("other")], "cloud-mask auto: no definition recognizes item other; choose one of"),
    ],
)
def test_auto_without_a_definition_is_refused_in_one_line(items: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        chosen(items)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "message"), [("", "names no mask"), ('mask = "fog"\n', "fog of definition own is not installed")]
)
def test_a_definition_without_an_installed_mask_is_refused(tmp_path: Path, mask: str, message: str) -> None:
    text = (
        f'name = "own"\ntitle = "t"\nsensors = {{ s = [] }}\n{mask}[encoding]\nscale = 0.0001\noffset = 0\n'
        'data_type = "uint16"\nvalid_range = [1, 2]\n[bands]\nred = { assets = ["red"], size = 10 }\n'
    )
    (tmp_path / "own.toml").write_text(text)
    definitions = load_definitions("own", str(tmp_path / "own.toml"))
    with pytest.raises(InputError, match=f"cloud-mask auto: .*{message}"):
        choose_mask(CUBE, AutoCloudMaskHook(), lambda: [FirstItems(definitions, [])])


# ---- named classes -------------------------------------------------------------------------------


def test_a_class_that_the_definition_lacks_makes_a_bad_scene() -> None:
    mask = cloud_mask("qa_pixel", {"masked": ["clouds"]})
    with pytest.raises(SceneError, match="has no class clouds; choose from fill, dilated, cirrus, cloud, shadow"):
        parsed(MADE["usgs landsat"][0], mask)


def test_names_without_a_definition_make_a_bad_scene() -> None:
    mask = cloud_mask("scl", {"allowed_values": ["vegetation"]})
    with pytest.raises(
        SceneError, match="no definition recognizes it, so the classes vegetation of band scl are unknown"
    ):
        parsed(stac_item(), mask)
    assert parsed(stac_item(), cloud_mask("scl")).bands["scl"].classes == {}


def test_a_band_of_another_name_is_read() -> None:
    item = MADE["usgs landsat"][0]
    key = next(key for key in KEYS["qa_pixel"] if key in item["assets"])
    assert parsed(item, cloud_mask("qa_pixel", {"band": key})).bands[key].classes["cloud"] == [[8, 8]]
    with pytest.raises(SceneError, match="no asset for band my_quality"):
        parsed(item, cloud_mask("qa_pixel", {"band": "my_quality"}))


def test_numbers_of_classes_change_the_revision_of_a_scene_only_if_a_mask_names_them() -> None:
    item = next(item for item, _ in MADE.values() if (known := KNOWN.of(item)) and known.mask == "scl")
    plain = parse_scene(placed(item), None, ("red",), ("scl",), KNOWN)
    assert parsed(item, cloud_mask("scl")).revision == plain.revision
    assert parsed(item, cloud_mask("scl", {"allowed_values": ["water"]})).revision != plain.revision
