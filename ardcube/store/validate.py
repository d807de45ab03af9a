"""What the Zarr metadata of a cube may say: looked at before zarr is asked, since they name the code that reads pixels.

Names of codecs and data types are looked up among whatever is installed, in version 2 of the format among codecs that
unpickle. A cube needs few of them; whoever edited its metadata gets no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ardcube.errors import ArdcubeError, StoreError
from ardcube.storage.place import Place

NAME = "zarr.json"
_CODECS = {"bytes", "blosc", "crc32c", "gzip", "sharding_indexed", "transpose", "vlen-utf8", "zstd"}
_DATA_TYPES = {"uint8", "uint16", "int32", "int64", "float32", "float64", "string"}
_LONGEST = 2**29
"""Of an axis. Coordinates are read whole."""
_LARGEST = 2**33
"""Numbers in one object: a shard of 16384 pixels a side has 2**28 for each band."""
_AXES = ("time", "latitude", "longitude", "band")

_OF_DAMAGE = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, MemoryError,
    SystemError,  # of numcodecs, where the length of a chunk is negative
)  # fmt: skip

Metadata = Mapping[str, Any]
"""Of an array: its `zarr.json`."""


def read_metadata(place: Place) -> dict[str, Metadata]:
    """Metadata of the arrays of a store by name, as every reader finds them: from the consolidated ones.

    Raises
    ------
    StoreError
        If they are not those of a cube.
    """
    with readable(place.uri):
        group = json.loads(place.read(NAME) or b"{}")
        if type(group["zarr_format"]) is not int or group["zarr_format"] != 3 or group["node_type"] != "group":
            raise ValueError("no group of Zarr version 3")
        arrays: dict[str, Metadata] = group["consolidated_metadata"]["metadata"]
        for name, array in arrays.items():
            check_array(name, array)
        _check_axes(arrays)
        for name, array in arrays.items():
            if array["data_type"] == "string":
                _check_texts(place, name, array)
        return arrays


def check_array(name: str, array: Metadata) -> None:
    """Refuse an array that no cube has.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        Says what is wrong with it, if it is of the right shape to say that.
    """
    if type(array["zarr_format"]) is not int or array["zarr_format"] != 3 or array["node_type"] != "array":
        raise ValueError(f"{name} is no array of Zarr version 3")
    if array["data_type"] not in _DATA_TYPES:
        raise ValueError(f"{name} is of the data type {array['data_type']!r:.100}")
    if array.get("storage_transformers"):
        raise ValueError(f"{name} has storage transformers")
    _check_codecs(name, array["codecs"])
    shape, chunk = array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"]
    if not _are_lengths(shape, 0) or not _are_lengths(chunk, 1) or len(shape) != len(chunk):
        raise ValueError(f"{name} has the shape {shape!r:.100} in chunks of {chunk!r:.100}")


def check_own(place: Place, arrays: Mapping[str, Metadata]) -> None:
    """Refuse a store of which some readers see another thing than others.

    Raises
    ------
    StoreError
        If the consolidated metadata are not those of the arrays.
    """
    own = place.read_many(f"{name}/{NAME}" for name in arrays)
    for name, array in arrays.items():
        with readable(place.uri):
            if json.loads(own[f"{name}/{NAME}"]) != array:
                raise ValueError(f"the consolidated metadata of {name} are not those of the array itself")


@contextmanager
def readable(uri: str) -> Iterator[None]:
    """Raise what the metadata, or the pixels, of a damaged store lead to as one error.

    Raises
    ------
    StoreError
        Names the store and says what to do.
    """
    try:
        yield
    except ArdcubeError:
        raise
    except _OF_DAMAGE as error:
        told = f"{type(error).__name__}: {' '.join(str(error).split()):.300}"
        raise StoreError(
            f"{uri} is damaged, or was edited ({told}); restore it, or build the cube anew with --overwrite"
        ) from error


def _check_codecs(name: str, codecs: Sequence[Mapping[str, Any]]) -> None:
    for codec in codecs:
        if codec["name"] not in _CODECS:
            raise ValueError(f"{name} has the codec {codec['name']!r:.100}")
        if codec["name"] == "sharding_indexed":
            inner = codec["configuration"]
            _check_codecs(name, [*inner["codecs"], *inner["index_codecs"]])


def _check_axes(arrays: Mapping[str, Metadata]) -> None:
    """Coordinates are as long as the pixels have them."""
    for pixels in [array for array in arrays.values() if tuple(array.get("dimension_names") or ()) == _AXES]:
        for axis, length in zip(_AXES, pixels["shape"], strict=True):
            if arrays[axis]["shape"] != [length]:
                raise ValueError(f"{axis} has {arrays[axis]['shape']!r:.100} coordinates for {length} pixels")


def _check_texts(place: Place, name: str, array: Metadata) -> None:
    """Texts say themselves how many they are, and numcodecs makes room for so many before it looks further."""
    whole = array["chunk_grid"]["configuration"]["chunk_shape"] == array["shape"]
    if len(array["shape"]) != 1 or not whole or [codec["name"] for codec in array["codecs"]] != ["vlen-utf8"]:
        raise ValueError(f"{name} is no list of texts in one piece")
    content = place.read(f"{name}/c/0")
    if content is not None and int.from_bytes(content[:4], "little") != array["shape"][0]:
        raise ValueError(f"{name} holds another number of texts than its {array['shape'][0]}")


def _are_lengths(numbers: Any, least: int) -> bool:
    product = 1
    for number in numbers if isinstance(numbers, list) else [-1]:
        if type(number) is not int or not least <= number <= _LONGEST:
            return False
        product *= max(1, number)
    return least == 0 or product <= _LARGEST
