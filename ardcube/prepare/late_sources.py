"""Open the collections of a request when they are needed: after the cheaper checks."""

from __future__ import annotations

from collections.abc import Sequence

from ardcube.catalog.access import AccessPolicy
from ardcube.catalog.footprints import FootprintCatalog
from ardcube.catalog.search import open_catalog
from ardcube.catalog.selection import SelectedCatalog, check_properties, query_of
from ardcube.catalog.source import Source
from ardcube.collections.recognize import Definitions
from ardcube.config import CollectionAddress, CubeConfig, RunConfig
from ardcube.extent.periods import Period
from ardcube.prepare.extents import extent_reader
from ardcube.prepare.file_access import asset_access


class LateSources:
    """The collections of a request, opened when they are needed: after the cheaper checks."""

    def __init__(
        self, cube: CubeConfig, run: RunConfig, definitions: Sequence[Definitions], periods: Sequence[Period]
    ) -> None:
        self._request = cube, run, periods
        self._definitions = definitions
        self._opened: tuple[Source, ...] = ()

    def open(self, bounds: tuple[float, float, float, float]) -> tuple[Source, ...]:
        """Return the collections; check, for an area in degrees, that items have the properties of the query."""
        self._opened = self._opened or tuple(
            self._source(address, definitions, bounds)
            for address, definitions in zip(self._request[0].collections, self._definitions, strict=True)
        )
        return self._opened

    def _source(
        self, address: CollectionAddress, definitions: Definitions, bounds: tuple[float, float, float, float]
    ) -> Source:
        cube, run, periods = self._request
        policy, is_pooled = AccessPolicy(address.stac_url, run.allow_asset_roots), len(cube.collections) > 1
        found = open_catalog(
            address.stac_url, address.collection, run.allow_asset_roots, run.patience_seconds, alone=not is_pooled
        )
        check_properties(found, cube.comparisons, bounds, periods, address.collection if is_pooled else "")
        catalog = FootprintCatalog(
            SelectedCatalog(found.selecting(query_of(cube.comparisons)), cube.comparisons, cube.kept_months),
            cube.bands[0],
            policy,
            extent_reader(asset_access(definitions.in_order(), run), run.reader),
            definitions,
        )
        return Source(address, catalog, definitions, policy, is_pooled)
