"""The `ardcube` command."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ardcube.runtime.gc_pause import rare_garbage_collection
from flows.options import ModelCommand, WholeNumbers, build_model, key_values
from flows.run_flow import configure_prefect, run_flow

if TYPE_CHECKING:  # Libraries other than click are imported where they are used, so that --help takes no time.
    from ardcube.config import CubeConfig, RunConfig
    from ardcube.config.clusters import ClusterOptions
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

storage_option = click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=key_values,
    help="Option of the store's filesystem, such as endpoint_url. Can be given several times.",
)
at_option = click.option(
    "--at", metavar="TAG", help="Version of a cube of icechunk, from `ardcube history`.  [default: the newest]"
)
# `run_command` reads it; `build` and `plan` have it as a field of their model.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")


def _models() -> "tuple[type[CubeConfig], type[RunConfig]]":
    from ardcube.config import CubeConfig, RunConfig

    return CubeConfig, RunConfig


def _cluster_options() -> "Sequence[type[ClusterOptions]]":
    from ardcube.config.clusters import ClusterOptions

    return (ClusterOptions,)


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="ardcube")
@click.pass_context
def cli(context: click.Context) -> None:
    """Build analysis-ready data cubes: cloud-masked composites of satellite scenes."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _configure_process(debug: bool) -> None:
    """Configure memory and Prefect of a process that builds, before it starts threads."""
    from ardcube.runtime.allocator import configure_process

    configure_process()
    configure_prefect(debug)


@cli.command(cls=ModelCommand, models=_models)
def build(**values: Any) -> None:
    """Build a cube, or the missing chunks of an existing one."""
    cube, run = _requested(values)
    if run.dry_run:
        _show_plan(cube, run)
        return
    _configure_process(run.debug)
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
    _configure_process(run.debug)
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
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="Print every record as JSON.")
@click.option("--chunks", is_flag=True, help="List the failed chunks of each cause.")
@storage_option
@debug_option
def status(uri: str, as_json: bool, chunks: bool, storage_options: dict[str, Any]) -> None:
    """Show the state of the chunks of the cube at URI."""
    from ardcube.ledger.last_plan import planned_chunks
    from ardcube.ledger.ledger import Ledger
    from ardcube.ledger.stored_cube import StoredCube, no_cube_error
    from ardcube.prepare.levels import count_levels
    from ardcube.report.cube_status import CubeStatus
    from ardcube.storage.place import Place
    from flows.console import new_console, print_records, print_status
    from flows.status_json import print_json

    place = Place.at(uri, storage_options)
    ledger = Ledger.of_store(place)
    cube = StoredCube.read(ledger)
    if cube is None:
        raise no_cube_error(place, ledger)
    planned = planned_chunks(ledger, cube)
    if as_json:
        print_json(sys.stdout.write, ledger, planned)
        return
    records = list(ledger.records().values())
    state = CubeStatus.take(ledger, planned, records)
    console = new_console()
    print_records(console, records, planned.tiles, chunks=chunks)
    print_status(console, cube, state, count_levels(cube, ledger))


@cli.command(cls=ModelCommand, models=_cluster_options)
@click.argument("uri")
@click.option("--output", required=True, metavar="FOLDER", help="Folder of the files: a path, or a URI of fsspec.")
@click.option(
    "--format",
    type=click.Choice(["cog", "netcdf"]),
    default="cog",
    show_default=True,
    help="cog: a cloud-optimized GeoTIFF per variable and period. netcdf: CF, all in one file.",
)
@click.option("--period", "periods", multiple=True, metavar="LABEL", help="Period, such as 2023-06; repeatable.")
@click.option("--variable", "variables", multiple=True, metavar="NAME", help="Variable of the cube; repeatable.")
@click.option("--bbox", nargs=4, type=float, help="West, south, east, north in degrees: pixels to export.")
@click.option(
    "--template",
    metavar="TEXT",
    help="Names of the files.  [default: {varname}_{period}.tif, or {cube}.nc for netcdf]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that have other content.")
@click.option("--allow-missing", is_flag=True, help="Export missing chunks as nodata.")
@at_option
@click.option("--threads", type=WholeNumbers(1), help="GeoTIFF files written at once.  [default: number of CPUs]")
@storage_option
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def export(uri: str, output: str, debug: bool, **options: Any) -> None:
    """Export the cube at URI to cloud-optimized GeoTIFF or netCDF."""
    cluster = build_model(_cluster_options()[0], options)
    options = {name: value for name, value in options.items() if name not in type(cluster).model_fields}
    if cluster.serverless_backend == "local":
        from ardcube.api.export import export_cube

        done = export_cube(uri, output, **options)
    else:
        from flows.export_command import export_on_cluster

        _configure_process(debug)
        done = export_on_cluster(uri, output, cluster, options)
    for file in done.written:
        click.echo(file)
    click.echo(f"files    {done.message}")
    click.echo(f"time     {done.seconds:.1f} s")


@cli.command()
@click.argument("uri")
@click.option(
    "--method",
    type=click.Choice(["carry", "interpolate"]),
    required=True,
    help="carry: the last observed period. interpolate: linear in time between the last and the next observed period.",
)
@click.option(
    "--max-periods",
    type=WholeNumbers(1, 254),
    required=True,
    help="Periods that an observed period may be away.",
)
@click.option("--output", metavar="URI", help="Store of the filled cube.  [default: cube-filled.zarr for cube.zarr]")
@click.option("--allow-missing", is_flag=True, help="Fill also a cube with missing chunks, which count as gaps.")
@click.option("--threads", type=WholeNumbers(1), help="Chunks filled at once.  [default: number of CPUs]")
@storage_option
@debug_option
def fill(uri: str, **options: Any) -> None:
    """Fill pixels without observation of the cube at URI from other periods, into a second cube."""
    from ardcube.api.fill import fill_cube

    done = fill_cube(uri, **options)
    before = f", {done.already_done} done before" if done.already_done else ""
    click.echo(f"chunks   {done.chunks - done.already_done} of {done.chunks} filled{before}")
    click.echo(f"pixels   {done.observed:.1%} observed, {done.filled:.1%} filled, {done.empty:.1%} empty")
    click.echo(f"time     {done.seconds:.1f} s")
    click.echo(f"cube     {done.uri}")


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


@cli.command()
@click.argument("uri")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
@click.option("--all-pixels", is_flag=True, help="Read all pixels of a large cube, instead of levels or a sample.")
@at_option
@storage_option
@debug_option
def quicklook(uri: str, output: Path, all_pixels: bool, at: str | None, storage_options: dict[str, Any]) -> None:
    """Draw one PNG per period of the cube at URI."""
    from ardcube.report.quicklook import write_quicklooks

    for picture in write_quicklooks(uri, output, at=at, storage_options=storage_options, all_pixels=all_pixels):
        click.echo(picture)


@cli.command()
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="Print the versions as JSON.")
@storage_option
@debug_option
def history(uri: str, as_json: bool, storage_options: dict[str, Any]) -> None:
    """List the versions of the cube at URI, the newest first; its storage backend is icechunk."""
    from ardcube.api.history import history

    versions = history(uri, storage_options=storage_options)
    if as_json:
        click.echo(json.dumps([asdict(version) for version in versions], default=str, indent=1))
        return
    click.echo(f"{'version':<14} {'time (UTC)':<19} {'chunks':>7} {'commits':>7}  message")
    for version in versions:
        tag, time = version.tag or "not published", f"{version.time:%Y-%m-%d %H:%M:%S}"
        click.echo(f"{tag:<14} {time} {version.chunks:>7} {version.commits:>7}  {version.message}")


@cli.command()
@click.argument("uri")
@click.option("--output", default="inside", help="Folder of the documents: a path or URI. Default: the store itself.")
@storage_option
@debug_option
def stac(uri: str, output: str, storage_options: dict[str, Any]) -> None:
    """Write a STAC Collection of the cube at URI, with one Item per period."""
    from ardcube.api.stac import stac

    collection = stac(uri, output, storage_options=storage_options)
    click.echo(f"{collection.get_self_href()}: {len(collection.get_item_links())} Items")


@cli.command()
@click.argument("uri")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File of the page, such as report.html.")
@storage_option
@debug_option
def report(uri: str, output: Path, storage_options: dict[str, Any]) -> None:
    """Write a page with pictures, chunks and failures of the cube at URI."""
    from ardcube.api.write_report import write_report

    click.echo(write_report(uri, output, storage_options=storage_options))


@cli.command()
@click.argument("uri")
@click.option("--output", metavar="URI", help="Store of a copy in the other layout: geozarr of a flat cube, or flat.")
@click.option("--threads", type=WholeNumbers(min=1), help="Chunks in work at once. Default: the available CPUs.")
@storage_option
@debug_option
def pyramid(uri: str, output: str | None, threads: int | None, storage_options: dict[str, Any]) -> None:
    """Build missing levels of the cube at URI, or copy it into the other layout."""
    from ardcube.api.pyramid import make_pyramid

    click.echo(make_pyramid(uri, output=output, threads=threads, storage_options=storage_options).message)


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
