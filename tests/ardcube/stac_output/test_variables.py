"""Variables of a store as STAC describes them: flags, bits, nodata, several resolutions."""

from __future__ import annotations

from typing import Any

from ardcube.stac_output.variables import variables_of


def metadata(**arrays: dict[str, Any]) -> dict[str, Any]:
    made = {"dimension_names": ["time", "y", "x"], "data_type": "uint8", "fill_value": 0}
    return {"consolidated_metadata": {"metadata": {name: made | array for name, array in arrays.items()}}}


def test_values_of_flags_become_classes() -> None:
    flags = {"flag_values": [0, 1], "flag_meanings": "clear_land cloud"}
    (found,) = variables_of(metadata(quality={"attributes": flags}))
    assert found.fields(())["classification:classes"] == [
        {"value": 0, "name": "clear_land", "description": "clear land"},
        {"value": 1, "name": "cloud", "description": "cloud"},
    ]
    assert found.summary["type"] == "auxiliary"


def test_masks_of_flags_become_bits() -> None:
    flags = {"flag_masks": [1, 8], "flag_meanings": "fill cloud"}
    (found,) = variables_of(metadata(quality={"attributes": flags}))
    fill, cloud = found.fields(())["classification:bitfields"]
    assert (fill["offset"], cloud["offset"]) == (0, 3)
    assert [one["name"] for one in cloud["classes"]] == ["no_cloud", "cloud"]


def test_damaged_flags_are_left_out() -> None:
    flags = {"flag_values": [0, 1, 2], "flag_meanings": "clear cloud"}
    (found,) = variables_of(metadata(quality={"attributes": flags}))
    assert found.fields(()) == {"data_type": "uint8"}


def test_floating_point_numbers_have_nan_as_nodata() -> None:
    (found,) = variables_of(metadata(emad={"data_type": "float32", "fill_value": "NaN"}))
    assert found.fields(())["nodata"] == "nan"


def test_coordinates_and_coarser_resolutions_are_no_variables() -> None:
    found = variables_of(metadata(**{"0/red": {}, "1/red": {}, "time": {"dimension_names": ["time"]}}))
    assert [(one.name, one.path) for one in found] == [("red", "0/red")]
