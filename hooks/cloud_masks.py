"""Cloud masks for code that imports them from `hooks`; `ardcube.pixels` defines them."""

from ardcube.pixels.class_masks import (
    CloudProbabilityMaskHook,
    FmaskCloudMaskHook,
    QAPixelCloudMaskHook,
    SCLCloudMaskHook,
)
from ardcube.pixels.masks import (
    CloudMaskHook,
    DayMaskHook,
    DefaultCloudMaskHook,
    SceneMaskHook,
    cloud_mask,
    cloud_mask_names,
)

__all__ = [
    "CloudMaskHook",
    "CloudProbabilityMaskHook",
    "DayMaskHook",
    "DefaultCloudMaskHook",
    "FmaskCloudMaskHook",
    "QAPixelCloudMaskHook",
    "SCLCloudMaskHook",
    "SceneMaskHook",
    "cloud_mask",
    "cloud_mask_names",
]
