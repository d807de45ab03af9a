"""Definitions of the sample archive whose files are private."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path

from tests.servers.earth_search import read_catalogue


def definition_text(name: str, host: str, access: str) -> str:
    """Return the TOML of a definition that recognizes items of the sample.

    Parameters
    ----------
    name : str
        Name of the definition.
    host : str
        Pattern of the host of its files.
    access : str
        Its access, as TOML.
    """
    text = files("ardcube.collections").joinpath("definitions/sentinel-2-c1-l2a.toml").read_text()
    text = re.sub(r"\[\[catalogues\]\]\n(.+\n)+\n", "", text).replace('name = "sentinel-2-c1-l2a"', f'name = "{name}"')
    head, _, rest = text.partition("\n\n")
    return f'{head}\n\n[[catalogues]]\ncollection = "sample"\nhosts = ["{host}"]\naccess = {access}\n\n{rest}'


def write_catalogue(folder: Path, archive: Path, url: str) -> Path:
    """Write a catalogue of the sample's items, whose files are at a URL; return its folder."""
    collection, items = read_catalogue(archive, url)
    folder.mkdir()
    (folder / "collection.json").write_text(json.dumps({**collection, "links": []}))
    features = [{**item, "links": []} for item in items]
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder
