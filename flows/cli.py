"""The `ardcube` command."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ardcube.runtime.gc_pause import rare_garbage_collection
from flows.cube_commands import COMMANDS, debug_option
from flows.options import ModelCommand, WholeNumbers, build_model
from flows.run_flow import configure_prefect, configure_process, run_flow

if TYPE_CHECKING:  # Libraries other than click are imported where they are used, so that --help takes no time.
    from ardcube.config import CubeConfig, RunConfig
    from ardcube.prepare.request import Request
    from ardcube.prepare.retry import Retry
    from ardcube.report.summary import BuildSummary

_NO_STORE = "memory://ardcube-plan"
"""URI of the store in a plan that names none."""
_NOT_OF_A_RETRY = (
    "fsspec_uri", "storage_backend", "each", "initialize", "overwrite", "look_back_months", "allow_asset_roots",
    "dry_run", "max_chunks", "yes",
)  # fmt: skip
"""Fields without an option in `ardcube retry`, because the existing cube determines them."""


def _models() -> "tuple[type[CubeConfig], type[RunConfig]]":
    from ardcube.config import CubeConfig, RunConfig

    return CubeConfig, RunConfig


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="ardcube")
@click.pass_context
def cli(context: click.Context) -> None:
    """Build analysis-ready data cubes: cloud-masked composites of satellite scenes."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(cls=ModelCommand, models=_models)
def build(**values: Any) -> None:
    """Build a cube, or the missing chunks of an existing one."""
    cube, run = _requested(values)
    if run.dry_run:
        _show_plan(cube, run)
        return
    configure_process(run.debug)
    # Checked before Prefect is imported, which takes longer than the check. Credentials are only in Prefect's blocks.
    requests = _checked_requests(cube, run) if run.credentials_block is None else ()

    from flows.checked import already_checked

    def flow() -> "BuildSummary":
        from flows.build_cube import build_cube

        return build_cube(cube, run)

    with already_checked(*requests):
        run_flow(flow, builds=run.serverless_backend == "local")


@cli.command(cls=ModelCommand, models=lambda: _models()[1:], without=_NOT_OF_A_RETRY)
@click.argument("fsspec_uri", metavar="URI")
@click.option("--missing", is_flag=True, help="Also build chunks that no run has built so far.")
def retry(missing: bool, **values: Any) -> None:
    """Build the failed chunks of the cube at URI, from the planned scenes."""
    run = build_model(_models()[1], values)
    configure_process(run.debug)
    requests: tuple[Retry, ...] = ()
    if run.credentials_block is None:
        from ardcube.prepare.retry import check_retry

        request = check_retry(run)
        requests = (request,)
        failed, unbuilt = request.count_missing(request.ledger.records(brief=True).values())
        if not failed and not missing and request.has_all_levels():
            left = f"; {unbuilt} were never built, which --missing does" if unbuilt else ""
            click.echo(f"nothing to retry: no chunk of {request.chunks} failed{left}")
            return

    from flows.checked import already_checked

    def flow() -> "BuildSummary":
        from flows.retry_cube import retry_cube

        return retry_cube(run, missing)

    with already_checked(*requests):
        run_flow(flow, builds=run.serverless_backend == "local")


@cli.command(cls=ModelCommand, models=_models)
@click.option(
    "--calibrate",
    type=WholeNumbers(1),
    metavar="N",
    help="Build N chunks, chosen at random, in a scratch folder, and estimate the cost from them.",
)
@click.option("--like-cube", metavar="URI", help="Estimate the cost from the ledger of a similar cube.")
def plan(calibrate: int | None, like_cube: str | None, **values: Any) -> None:
    """Show tiles, scenes and cost of a cube: CPU hours, hours, bytes, requests, memory, money."""
    values["fsspec_uri"] = values["fsspec_uri"] or _NO_STORE
    values["dry_run"] = True
    _show_plan(*_requested(values), calibrate, like_cube)


@cli.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--collection-file", metavar="FILE", help="TOML file with a definition, which is checked and listed.")
@click.option("--json", "as_json", is_flag=True, help="Print all fields as JSON.")
@debug_option
def collections(names: tuple[str, ...], collection_file: str | None, as_json: bool) -> None:
    """List the definitions of collections: sensors, catalogues, bands, masks."""
    from ardcube.collections.registry import list_definitions
    from ardcube.pixels.masks import cloud_mask_names
    from flows.definition_list import definition_lines

    definitions = list_definitions(names, collection_file)
    if as_json:
        click.echo(json.dumps([definition.model_dump(mode="json") for definition in definitions], indent=1))
    else:
        click.echo("\n".join(definition_lines(definitions, cloud_mask_names())))


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@debug_option
def sample(folder: Path) -> None:
    """Write a small synthetic Sentinel-2 archive to FOLDER, for use without network."""
    from ardcube.sample import write_archive

    archive = write_archive(folder)
    click.echo(f"{archive.items} items in {folder}")


@rare_garbage_collection()
def _requested(values: dict[str, Any]) -> "tuple[CubeConfig, RunConfig]":
    cube, run = _models()
    return build_model(cube, values), build_model(run, values)


def _show_plan(
    cube: "CubeConfig", run: "RunConfig", calibrate: int | None = None, like_cube: str | None = None
) -> None:
    from flows.console import new_console
    from flows.show_plan import CostBasis, show_plan

    basis = CostBasis(calibrate, like_cube)
    if run.credentials_block is not None:
        configure_prefect(run.debug)
        from flows.temporary_server import start_server
        from hooks.credentials import take_credentials

        start_server(meanwhile=lambda: None)
        take_credentials(run)
    has_store = run.fsspec_uri != _NO_STORE
    show_plan(new_console(), _checked_requests(cube, run, build=has_store), has_store=has_store, basis=basis)


@rare_garbage_collection()
def _checked_requests(cube: "CubeConfig", run: "RunConfig", *, build: bool = True) -> "list[Request]":
    """Return the request of a cube, or with `each` those of all features."""
    from ardcube.prepare.check import check_request

    if run.each is None:
        return [check_request(cube, run, build=build)]
    from ardcube.prepare.each import requests_of_each

    return requests_of_each(cube, run, lambda one, its_run: check_request(one, its_run, build=build))


for command in COMMANDS:
    cli.add_command(command)
