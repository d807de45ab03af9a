"""Analysis-ready data cubes of satellite scenes: Zarr stores of cloud-masked composites.

Every name of `__all__` is imported when it is first used, because the libraries behind them take seconds to import.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ardcube.api.build import build, retry
    from ardcube.api.export import export
    from ardcube.api.fill import FillSummary, fill
    from ardcube.api.history import history
    from ardcube.api.observations import observations
    from ardcube.api.open import open
    from ardcube.api.plan import Plan, plan
    from ardcube.api.pyramid import pyramid
    from ardcube.api.stac import stac
    from ardcube.api.status import status
    from ardcube.api.write_report import write_report
    from ardcube.config import CubeConfig, RunConfig
    from ardcube.errors import (
        AccessError,
        ArdcubeError,
        CatalogError,
        InputError,
        LossError,
        OutageError,
        PermanentError,
        ReplacedError,
        RunStopsError,
        SceneError,
        StoreError,
        TransientError,
        UnreachableError,
        UnwritableError,
    )
    from ardcube.exporting.running import ExportSummary
    from ardcube.lease.acquire import LeaseHeldError
    from ardcube.lease.fence import LeaseLostError
    from ardcube.pixels.class_masks import (
        CloudProbabilityMaskHook,
        FmaskCloudMaskHook,
        QAPixelCloudMaskHook,
        SCLCloudMaskHook,
    )
    from ardcube.pixels.composites.figures import Needs, SceneFigures
    from ardcube.pixels.composites.protocol import (
        BandComposite,
        ChoiceComposite,
        Composite,
        Layer,
        ObservationComposite,
        Stack,
        chosen_of,
    )
    from ardcube.pixels.masks import CloudMaskHook, DayMaskHook, DefaultCloudMaskHook, SceneMaskHook
    from ardcube.pixels.morphology import CleanUp
    from ardcube.pixels.observations import Observations
    from ardcube.planning.jobs import ChunkKey
    from ardcube.report.summary import BuildSummary, ChunksFailedError

    __version__: str

__all__ = [
    "AccessError",
    "ArdcubeError",
    "BandComposite",
    "BuildSummary",
    "CatalogError",
    "ChoiceComposite",
    "ChunkKey",
    "ChunksFailedError",
    "CleanUp",
    "CloudMaskHook",
    "CloudProbabilityMaskHook",
    "Composite",
    "CubeConfig",
    "DayMaskHook",
    "DefaultCloudMaskHook",
    "ExportSummary",
    "FillSummary",
    "FmaskCloudMaskHook",
    "InputError",
    "Layer",
    "LeaseHeldError",
    "LeaseLostError",
    "LossError",
    "Needs",
    "ObservationComposite",
    "Observations",
    "OutageError",
    "PermanentError",
    "Plan",
    "QAPixelCloudMaskHook",
    "ReplacedError",
    "RunConfig",
    "RunStopsError",
    "SCLCloudMaskHook",
    "SceneError",
    "SceneFigures",
    "SceneMaskHook",
    "Stack",
    "StoreError",
    "TransientError",
    "UnreachableError",
    "UnwritableError",
    "__version__",
    "build",
    "chosen_of",
    "export",
    "fill",
    "history",
    "observations",
    "open",
    "plan",
    "pyramid",
    "retry",
    "stac",
    "status",
    "write_report",
]

_MODULES = {
    "ardcube.api.build": ("build", "retry"),
    "ardcube.api.export": ("export",),
    "ardcube.api.fill": ("FillSummary", "fill"),
    "ardcube.api.history": ("history",),
    "ardcube.api.observations": ("observations",),
    "ardcube.api.open": ("open",),
    "ardcube.api.plan": ("Plan", "plan"),
    "ardcube.api.pyramid": ("pyramid",),
    "ardcube.api.stac": ("stac",),
    "ardcube.api.status": ("status",),
    "ardcube.api.write_report": ("write_report",),
    "ardcube.config": ("CubeConfig", "RunConfig"),
    "ardcube.errors": (
        "AccessError",
        "ArdcubeError",
        "CatalogError",
        "InputError",
        "LossError",
        "OutageError",
        "PermanentError",
        "ReplacedError",
        "RunStopsError",
        "SceneError",
        "StoreError",
        "TransientError",
        "UnreachableError",
        "UnwritableError",
    ),
    "ardcube.exporting.running": ("ExportSummary",),
    "ardcube.lease.acquire": ("LeaseHeldError",),
    "ardcube.lease.fence": ("LeaseLostError",),
    "ardcube.pixels.class_masks": (
        "CloudProbabilityMaskHook",
        "FmaskCloudMaskHook",
        "QAPixelCloudMaskHook",
        "SCLCloudMaskHook",
    ),
    "ardcube.pixels.composites.figures": ("Needs", "SceneFigures"),
    "ardcube.pixels.composites.protocol": (
        "BandComposite",
        "ChoiceComposite",
        "Composite",
        "Layer",
        "ObservationComposite",
        "Stack",
        "chosen_of",
    ),
    "ardcube.pixels.masks": ("CloudMaskHook", "DayMaskHook", "DefaultCloudMaskHook", "SceneMaskHook"),
    "ardcube.pixels.morphology": ("CleanUp",),
    "ardcube.pixels.observations": ("Observations",),
    "ardcube.planning.jobs": ("ChunkKey",),
    "ardcube.report.summary": ("BuildSummary", "ChunksFailedError"),
}
"""Names by the module that defines them."""
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name == "__version__":
        return version("ardcube")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'ardcube' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value


def __dir__() -> list[str]:
    """List the public names, whether they are imported yet or not."""
    return sorted(__all__)
