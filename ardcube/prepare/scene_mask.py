"""Choose the cloud mask of a request whose mask is `auto`, and the bands that a mask needs of each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ardcube.catalog.bands import in_one_line
from ardcube.catalog.categories import Categories
from ardcube.catalog.malformed import MALFORMED, Item, printable_id
from ardcube.collections.model import Definition
from ardcube.collections.recognize import Definitions
from ardcube.config import CubeConfig
from ardcube.errors import InputError
from ardcube.pixels.composites.best_pixel import BestPixel
from ardcube.pixels.composites.figures import needs_of
from ardcube.pixels.composites.protocol import Composite, text_of
from ardcube.pixels.masks import AutoCloudMaskHook, CloudMaskHook, classes_of, cloud_mask, cloud_mask_names, scene_masks
from ardcube.pixels.quality.registry import Quality


@dataclass(frozen=True, slots=True)
class FirstItems:
    """The first items of a collection, by which the mask of a cube is chosen."""

    definitions: Definitions
    """Definitions by which the items are recognized."""
    items: Iterable[Item]
    """The items, in the order of a search."""
    possible: Sequence[Definition] = ()
    """Definitions that a collection of a pool may have if it has no item, because later months may have scenes."""


def categories_of(mask: CloudMaskHook) -> Categories:
    """Return the categorical bands that a mask needs of each item, and the classes in them."""
    masks = scene_masks(mask)
    classes = {one.bands[0]: classes_of(one) for one in masks if classes_of(one)}
    if isinstance(mask, AutoCloudMaskHook):
        return Categories(by_mask={one.name: one.bands[0] for one in masks}, classes=classes)
    return Categories(tuple(mask.bands), classes=classes)


def choose_mask(
    cube: CubeConfig, mask: CloudMaskHook, first_items: Callable[[], Iterable[FirstItems]]
) -> tuple[CubeConfig, CloudMaskHook]:
    """Return the configuration and the mask of a cube; only the mask `auto` is not one yet.

    Parameters
    ----------
    cube : CubeConfig
        The request.
    mask : CloudMaskHook
        Its mask.
    first_items : callable
        Search the first items of each collection; called only if they are needed.

    Returns
    -------
    CubeConfig, CloudMaskHook
        The mask that all definitions name, else one that has several masks. The configuration names it, so that a cube
        has the same identity if its mask is given by name.

    Raises
    ------
    InputError
        If no item is found, an item has no definition, or its definition names no installed mask.
    """
    if not isinstance(mask, AutoCloudMaskHook) or mask.masks:
        return cube, mask
    names = sorted(_named(first_items()))
    options: dict[str, Any] = dict(mask.options)
    if len(names) == 1:
        changes = {"cloud_mask": names[0], "cloud_mask_options": options}
    else:
        changes = {"cloud_mask": mask.name, "cloud_mask_options": options | {"masks": names}}
    chosen = cube.model_copy(update=changes)
    return chosen, cloud_mask(chosen.cloud_mask, chosen.cloud_mask_options)


def check_figures(mask: CloudMaskHook, composites: Sequence[Composite]) -> None:
    """Raise InputError if a composite needs distances to cloud, and the mask is evaluated for no scene.

    Parameters
    ----------
    mask : CloudMaskHook
        Mask of the cube, which is chosen.
    composites : sequence of Composite
        Composites of the cube.
    """
    for one in composites:
        if needs_of((one,)).cloud_metres and not scene_masks(mask):
            remedy = "; or leave the term out with best-pixel:cloud=0" if one.name == BestPixel.name else ""
            raise InputError(
                f"composite {text_of(one)}: cloud-mask {mask.name} gives no distance to cloud; choose a mask of "
                f"scenes, such as scl{remedy}"
            )


def check_enough(cube: CubeConfig, mask: CloudMaskHook, quality: Quality) -> None:
    """Raise InputError if the mask states no clear pixels of scenes, or a quality layer counts all of them.

    Parameters
    ----------
    cube : CubeConfig
        The request.
    mask : CloudMaskHook
        Mask of the cube, which is chosen.
    quality : Quality
        Quality layers of the cube.
    """
    if cube.enough is None:
        return
    if not scene_masks(mask):
        raise InputError(
            f"enough: cloud-mask {mask.name} gives no clear pixels of scenes; choose a mask of scenes, such as scl, or "
            "omit enough"
        )
    if quality.needs_valid:
        raise InputError(
            "enough: valid_count and clear_share count all observations, and enough leaves some of them out; omit "
            "these quality layers, or enough"
        )


def _named(first_items: Iterable[FirstItems]) -> set[str]:
    """Return the names of the masks that the definitions of items name."""
    advice = f"choose one of {', '.join(name for name in cloud_mask_names() if name != AutoCloudMaskHook.name)}"
    found = {one.name: one for collection in first_items for one in _definitions_of(collection, advice)}
    if not found:
        raise InputError(f"cloud-mask auto: no scene is found whose definition names a mask; {advice}")
    for definition in found.values():
        if definition.mask is None:
            raise InputError(f"cloud-mask auto: definition {definition.name} names no mask; {advice}")
        if definition.mask not in cloud_mask_names():
            raise InputError(
                f"cloud-mask auto: the mask {in_one_line([definition.mask])} of definition {definition.name} is not "
                f"installed; {advice}"
            )
    return {str(definition.mask) for definition in found.values()}


def _definitions_of(collection: FirstItems, advice: str) -> Iterator[Definition]:
    """Yield the definitions of the items of a collection, without any item those that it may have."""
    definitions, is_empty = collection.definitions, True
    if definitions.chosen is not None:
        yield definitions.chosen
        return
    for item in collection.items:
        is_empty = False
        try:
            definition = definitions.of(item)
        except MALFORMED:
            continue  # reported when it is parsed
        if definition is None:
            raise InputError(
                f"cloud-mask auto: no definition recognizes item {printable_id(item)}; {advice}, or name a "
                "definition with --definition"
            )
        yield definition
    if is_empty:
        yield from (one for one in collection.possible if one.mask is not None)
