"""The origin of a cube as global attributes: by whom, from what, how and when it was made (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ardcube.config import CubeConfig
from ardcube.extent.periods import Period
from ardcube.redaction import without_secrets

FINGERPRINT = "ardcube_fingerprint"
"""Attribute with the hash of the identity of a cube: cubes with equal ones have equal grids, options and pixels."""
VERSION = "version"
"""Attribute with the tag of a published version of icechunk."""
_MOST_LINES = 100
"""Lines of the history that are kept: the first and the newest."""
_LONGEST_LINE = 500
"""Characters of a line of the history that are kept."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The data that a cube is made of."""

    catalogues: Sequence[str]
    """URLs or absolute paths of the catalogues."""
    products: Sequence[str] = ()
    """Names of the products, such as `Sentinel-2 L2A`, as far as they are known."""
    credits: Sequence[str] = ()
    """Attributions; `{years}` becomes the years of the cube."""
    sensors: Sequence[str] = ()
    """Names of the sensors, as far as they are known."""


def provenance(
    cube: CubeConfig,
    origin: Origin,
    mask_options: Mapping[str, Any],
    periods: Sequence[Period],
    version: str,
    when: datetime,
) -> dict[str, Any]:
    """Return global attributes that describe the origin of a cube: text only, so that every format can hold them.

    Parameters
    ----------
    cube : CubeConfig
        Configuration of the cube.
    origin : Origin
        The data that the cube is made of.
    mask_options : mapping
        All options of the cloud mask, with its defaults.
    periods : sequence of Period
        The whole time axis.
    version : str
        Version of ardcube.
    when : datetime
        Time of the run, UTC.

    Returns
    -------
    dict
        Attributes of the CF conventions (`title`, `source`, `history`), of the Attribute Convention for Data Discovery
        (`date_created`, `date_modified`, `time_coverage_start`, `time_coverage_end`), and names of options.
    """
    first, end, last = periods[0].start, periods[-1].end, periods[-1]
    years = "-".join(map(str, sorted({first.year, last.start.year})))
    collections = [one.collection for one in cube.collections]
    products = " and ".join(origin.products or collections)
    credited = [credit.replace("{years}", years) for credit in origin.credits]
    moment = f"{when:%Y-%m-%dT%H:%M:%SZ}"
    return {
        "title": f"{products} surface reflectance, {', '.join(cube.composites)} composites",
        "source": "; ".join([products, *credited]),
        "instrument": ", ".join(origin.sensors),
        "history": f"{moment} ardcube {version}: built {periods[0].label} to {last.label}",
        "period": cube.period_rule.name,
        "date_created": moment,
        "date_modified": moment,
        "time_coverage_start": f"{first:%Y-%m-%d}",
        "time_coverage_end": f"{end:%Y-%m-%d}",
        "ardcube_version": version,
        "stac_url": ", ".join(without_secrets(catalogue) for catalogue in origin.catalogues),
        "collection": ", ".join(collections),
        "cloud_mask": cube.cloud_mask,
        "cloud_mask_options": json.dumps(dict(mask_options), sort_keys=True),
        "resampling": cube.resampling,
        "composite": ", ".join(cube.composites),
        **({"clip": Path(cube.geometry_file or "").name} if cube.clip else {}),
        **({"quality": ", ".join(cube.quality)} if cube.quality else {}),
        **({"max_scenes": str(cube.max_scenes)} if cube.max_scenes else {}),
        **({"enough": str(cube.enough)} if cube.enough else {}),
    }


def continued(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of an extended cube: the new ones, the date of creation, and both histories.

    Parameters
    ----------
    before : mapping
        Attributes of the store. They may have been edited, and those that are no text are not used.
    now : mapping
        Result of `provenance` for the extended cube.
    """
    created, history = before.get("date_created"), before.get("history")
    lines = [line[:_LONGEST_LINE] for line in history.splitlines()] if isinstance(history, str) else []
    lines.append(now["history"])
    if len(lines) > _MOST_LINES:
        lines = [lines[0], *lines[1 - _MOST_LINES :]]
    kept = {"date_created": created} if isinstance(created, str) else {}
    return dict(now) | kept | {"history": "\n".join(lines)}
