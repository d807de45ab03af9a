"""How a run accesses the files of scenes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Access = Literal["unsigned", "requester-pays", "signed"]


@dataclass(frozen=True, slots=True)
class S3Access:
    """Access to files on S3 at another endpoint or in a given region."""

    mode: Access = "unsigned"
    endpoint_url: str = ""
    """Empty for the endpoint of the environment, else that of AWS."""
    region: str = ""
    """Empty for the region of the environment, or the one that the server names."""


AssetAccess = Access | S3Access
"""A mode alone, or with an endpoint or region."""
