"""Cloud masks for code that imports them from `hooks`; `ardcube.pixels.masks` defines them."""

from ardcube.pixels.masks import (
    CloudMaskHook,
    DayMaskHook,
    DefaultCloudMaskHook,
    SceneMaskHook,
    SCLCloudMaskHook,
    cloud_mask,
    cloud_mask_names,
)

__all__ = [
    "CloudMaskHook",
    "DayMaskHook",
    "DefaultCloudMaskHook",
    "SCLCloudMaskHook",
    "SceneMaskHook",
    "cloud_mask",
    "cloud_mask_names",
]
