"""Export from the command line on the workers of a cluster."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ardcube.config import RunConfig
from ardcube.config.clusters import ClusterOptions

if TYPE_CHECKING:
    from ardcube.exporting.running import ExportSummary


def export_on_cluster(uri: str, output: str, cluster: ClusterOptions, options: Mapping[str, Any]) -> "ExportSummary":
    """Run the flow `export_cube` with a temporary Prefect server if none is configured.

    Parameters
    ----------
    uri, output : str
        Store of the cube, and folder of the files.
    cluster : ClusterOptions
        Backend and cluster.
    options : mapping
        The other options of the command.

    Raises
    ------
    InputError
        If the request cannot be met. Nothing was written.
    """
    from ardcube.exporting.request import Wanted
    from ardcube.exporting.running import ExportOrder, check
    from flows.options import build_model
    from flows.temporary_server import start_server

    given = {"fsspec_uri": output, **cluster.model_dump(exclude_unset=True), **options}
    run = build_model(RunConfig, given)
    wanted = Wanted(**{name: options[name] for name in Wanted.__dataclass_fields__})
    # Checked before Prefect is imported, which takes longer than the check.
    check(ExportOrder(uri, output, wanted, options["overwrite"], run.storage_options))
    start_server(meanwhile=_import_flow)
    from flows.export_cube import export_cube

    return export_cube(uri, wanted, run, overwrite=options["overwrite"])


def _import_flow() -> None:
    import_module("flows.export_cube")
