"""The categorical bands that a cloud mask needs of an item, and the classes in them (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from ardcube.catalog.bands import in_one_line
from ardcube.catalog.malformed import Item, printable_id
from ardcube.collections.model import Definition
from ardcube.errors import SceneError


@dataclass(frozen=True, slots=True)
class Categories:
    """Categorical bands of a cloud mask."""

    always: Sequence[str] = ()
    """Bands that every item must have."""
    by_mask: Mapping[str, str] = field(default_factory=dict)
    """Band by the name of a mask: an item must have the band of the mask that its definition names."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the classes whose numbers the definition must know, by band."""

    @classmethod
    def of(cls, bands: Sequence[str] | Self) -> Self:
        """Return bands without named classes as categories."""
        return bands if isinstance(bands, cls) else cls(tuple(bands))  # type: ignore[arg-type]

    def bands_of(self, item: Item, definition: Definition | None) -> Sequence[str]:
        """Return the bands that an item must have.

        Raises
        ------
        SceneError
            If the definition of the item names none of the masks.
        """
        if not self.by_mask:
            return self.always
        if definition is None:
            raise SceneError(
                f"item {printable_id(item)}: no definition recognizes it, so its cloud mask is unknown; choose one "
                "with --cloud-mask, or name a definition with --definition"
            )
        band = None if definition.mask is None else self.by_mask.get(definition.mask)
        if band is None:
            raise SceneError(
                f"item {printable_id(item)}: definition {definition.name} has the cloud mask {definition.mask}, and "
                f"the cube has {in_one_line(self.by_mask)}; choose one mask with --cloud-mask"
            )
        return (band,)

    def tests_of(
        self, item: Item, definition: Definition | None, key: str, band: str
    ) -> Mapping[str, Sequence[Sequence[int]]]:
        """Return tests of the numbers of the named classes of a band; see `BandAsset.classes`.

        Parameters
        ----------
        item, definition : Item, Definition
            The item and its definition.
        key, band : str
            Key of the asset, and name of the band.

        Raises
        ------
        SceneError
            If the definition does not know them.
        """
        names = self.classes.get(band, ())
        if not names:
            return {}
        if definition is None:
            raise SceneError(
                f"item {printable_id(item)}: no definition recognizes it, so the classes {in_one_line(names)} of band "
                f"{band} are unknown; name a definition with --definition"
            )
        try:
            return definition.class_tests(key, names)
        except ValueError as error:
            raise SceneError(f"item {printable_id(item)}: {error}") from None
