"""The plan of a cube: what a build would take, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any, overload

from ardcube.api.existing import Uri, run_config, text_of
from ardcube.api.plan_cost import plan_cost
from ardcube.api.python_names import python_names
from ardcube.config import CubeConfig
from ardcube.config.preset import preset_warnings
from ardcube.errors import InputError
from ardcube.planning.cost.estimate import CostEstimate
from ardcube.planning.estimate import Estimate, estimate
from ardcube.planning.jobs import tile_name
from ardcube.planning.plan import CubePlan
from ardcube.report.cost_rows import clear_days_text, estimate_rows, size
from ardcube.report.empty_periods import EmptyPeriods
from ardcube.report.wording import access_to, names_of

if TYPE_CHECKING:
    import geopandas as gpd

    from ardcube.prepare.request import Request

_NOWHERE = "memory://ardcube-plan"
"""Location of the store in a plan, which has none."""
_PERIODS_SHOWN = 24


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The chunks of a cube and the scenes that they would be built from."""

    cube: CubeConfig
    estimate: Estimate
    """Counts of chunks, tiles, periods and scenes, pixels, memory of a chunk in bytes."""
    cost: CostEstimate
    """CPU hours, hours, requests, bytes, memory of a worker and money, each with a range and its basis."""
    _plan: CubePlan = field(repr=False)

    @property
    def scenes(self) -> dict[str, int]:
        """Number of scenes by period, whose key is its first month, such as ``2023-06``, or its first day."""
        return {period.label: len(self._plan.scenes[period.label]) for period in self._plan.periods}

    def tiles(self) -> gpd.GeoDataFrame:
        """Return the footprints of the tiles that are built.

        Returns
        -------
        geopandas.GeoDataFrame
            One row per tile, in order of row and column; the index is its name, such as ``y0000_x0003``. Columns:
            `scenes` (of all periods), one column of scenes for each period, and `footprint` (polygon, EPSG:4326).
        """
        import geopandas as gpd

        jobs = self._plan.jobs
        columns: dict[str, Any] = {"scenes": jobs.scenes.sum(axis=1)}
        columns |= {period.label: counts for period, counts in zip(self._plan.periods, jobs.scenes.T, strict=True)}
        names = [tile_name(int(row), int(col)) for row, col in zip(jobs.tiles.rows, jobs.tiles.cols, strict=True)]
        columns["footprint"] = jobs.tiles.outlines()
        return gpd.GeoDataFrame(columns, index=names, geometry="footprint", crs="EPSG:4326").rename_axis("tile")

    def __repr__(self) -> str:
        return "\n".join(["Plan", *(f"  {name:8}{text}" for name, text in self._rows())])

    def _repr_html_(self) -> str:
        """Show the plan as a table in a notebook."""
        rows = "".join(
            f"<tr><th style='text-align: left'>{escape(name)}</th><td style='text-align: left'>{escape(text)}</td></tr>"
            for name, text in self._rows()
        )
        return f"<table><caption>Plan of a cube</caption>{rows}{self._period_rows()}</table>"

    def _rows(self) -> Sequence[tuple[str, str]]:
        """Return the names and texts of the rows of a plan."""
        spec, counts = self._plan.spec, self.estimate
        west, south, east, north = spec.grid.outline.bounds
        pixel_bytes = sum(layer.pixel_bytes(len(spec.bands)) for layer in spec.variables)
        labels = [period.label for period in self._plan.periods]
        span = labels[0] if len(labels) == 1 else f"{labels[0]} to {labels[-1]}"
        return (
            ("grid", str(spec.grid)),
            ("bounds", f"{west:.6g} {south:.6g} {east:.6g} {north:.6g}"),
            ("bands", ", ".join(spec.bands)),
            ("values", f"reflectance = {spec.encoding}"),
            ("periods", f"{counts.periods}, {span}"),
            ("scenes", f"{counts.scenes}, {counts.chunk_scenes / max(1, counts.chunks):.1f} in a chunk"),
            *((("pooled", names_of(counts.collections)),) if counts.collections else ()),
            ("defined", f"by {names_of(counts.definitions)}"),
            ("sensor", names_of(counts.sensors, "unknown")),
            *((("access", access_to(counts.access)),) if access_to(counts.access) else ()),
            ("mask", counts.cloud_mask),
            *((("days", clear_days_text(spec.enough)),) if spec.enough else ()),
            ("chunks", f"{counts.chunks}: {counts.tiles} tiles of {self.cube.tile_size} pixels in each period"),
            (
                "size",
                f"{size(counts.pixels * pixel_bytes)} of pixels before compression",
            ),
            *estimate_rows(self.cost),
            *(("warning", message) for message in self._warnings()),
        )

    def _warnings(self) -> list[str]:
        preset = preset_warnings(self.cube.preset, self._plan.periods[0].start)
        return [*preset, *EmptyPeriods.planned(self._plan).messages()]

    def _period_rows(self) -> str:
        counts = list(self.scenes.items())
        rows = "".join(
            f"<tr><td>{escape(label)}</td><td style='text-align: left'>{count} scenes</td></tr>"
            for label, count in counts[:_PERIODS_SHOWN]
        )
        more = len(counts) - _PERIODS_SHOWN
        return rows + (f"<tr><td colspan='2'>and {more} more periods</td></tr>" if more > 0 else "")


@overload
def plan(
    cube: CubeConfig,
    *,
    each: None = None,
    calibrate: int | None = None,
    like_cube: Uri | None = None,
    **options: Any,
) -> Plan: ...
@overload
def plan(
    cube: CubeConfig, *, each: str, calibrate: int | None = None, like_cube: Uri | None = None, **options: Any
) -> dict[str, Plan]: ...
@python_names
def plan(
    cube: CubeConfig,
    *,
    each: str | None = None,
    calibrate: int | None = None,
    like_cube: Uri | None = None,
    **options: Any,
) -> Plan | dict[str, Plan]:
    """Search the catalogue and plan a cube; write nothing.

    Parameters
    ----------
    cube : CubeConfig
        Area, grid, periods, bands and masks of the cube.
    each : str, optional
        Field of the geometry file: plan one cube for each of its features.
    calibrate : int, optional
        Chunks to build in a scratch folder, which is removed; the cost is estimated from them.
    like_cube : str or path, optional
        Store of a similar cube, from whose ledger the cost is estimated.
    **options
        Fields of `RunConfig`, such as `workers`, `price_per_core_hour`, `allow_asset_roots` or `max_chunks`.

    Returns
    -------
    Plan or dict of Plan
        With `estimate`, `cost`, `tiles()` and a table in notebooks. With `each`, the plan of each cube by its name, in
        the order of the file.

    Raises
    ------
    InputError
        If the request cannot be met: a band that does not exist, a catalogue that cannot be reached.
    CatalogError
        If the STAC API fails.
    """
    from ardcube.prepare.check import check_request
    from ardcube.prepare.each import name_of, requests_of_each
    from ardcube.prepare.make_plan import make_plan, search_scenes

    def planned(request: Request) -> Plan:
        scenes = search_scenes(request)
        found = make_plan(request, scenes, build=False)
        cost = plan_cost(request, scenes, found, has_store=False, calibrated=calibrate, like_cube=like, prefect=False)
        return Plan(request.cube, estimate(found), cost, found)

    check_cube(cube)
    like = None if like_cube is None else text_of(like_cube)
    run = run_config(_NOWHERE, {"each": each} | options | {"dry_run": True}, builds=False)
    if each is None:
        return planned(check_request(cube, run, build=False))
    requests = requests_of_each(cube, run, lambda one, its_run: check_request(one, its_run, build=False))
    return {name_of(request): planned(request) for request in requests}


def check_cube(cube: object) -> None:
    """Raise InputError if a cube is not described by the model."""
    if not isinstance(cube, CubeConfig):
        raise InputError(f"cube {cube!r:.60}: not a CubeConfig; give ardcube.CubeConfig(...)")
