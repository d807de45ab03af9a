"""Commands on an existing cube."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.options import ModelCommand, WholeNumbers, build_model, key_values
from flows.run_flow import configure_process

if TYPE_CHECKING:  # Libraries other than click are imported where they are used, so that --help takes no time.
    from ardcube.config.clusters import ClusterOptions

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


def _cluster_options() -> "Sequence[type[ClusterOptions]]":
    from ardcube.config.clusters import ClusterOptions

    return (ClusterOptions,)


@click.command()
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


@click.command(cls=ModelCommand, models=_cluster_options)
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

        configure_process(debug)
        done = export_on_cluster(uri, output, cluster, options)
    for file in done.written:
        click.echo(file)
    click.echo(f"files    {done.message}")
    click.echo(f"time     {done.seconds:.1f} s")


@click.command()
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


@click.command()
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


@click.command()
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


@click.command()
@click.argument("uri")
@click.option("--output", default="inside", help="Folder of the documents: a path or URI. Default: the store itself.")
@storage_option
@debug_option
def stac(uri: str, output: str, storage_options: dict[str, Any]) -> None:
    """Write a STAC Collection of the cube at URI, with one Item per period."""
    from ardcube.api.stac import stac

    collection = stac(uri, output, storage_options=storage_options)
    click.echo(f"{collection.get_self_href()}: {len(collection.get_item_links())} Items")


@click.command()
@click.argument("uri")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="File of the page, such as report.html.")
@storage_option
@debug_option
def report(uri: str, output: Path, storage_options: dict[str, Any]) -> None:
    """Write a page with pictures, chunks and failures of the cube at URI."""
    from ardcube.api.write_report import write_report

    click.echo(write_report(uri, output, storage_options=storage_options))


@click.command()
@click.argument("uri")
@click.option("--output", metavar="URI", help="Store of a copy in the other layout: geozarr of a flat cube, or flat.")
@click.option("--threads", type=WholeNumbers(min=1), help="Chunks in work at once. Default: the available CPUs.")
@storage_option
@debug_option
def pyramid(uri: str, output: str | None, threads: int | None, storage_options: dict[str, Any]) -> None:
    """Build missing levels of the cube at URI, or copy it into the other layout."""
    from ardcube.api.pyramid import make_pyramid

    click.echo(make_pyramid(uri, output=output, threads=threads, storage_options=storage_options).message)


COMMANDS = (status, export, fill, quicklook, history, stac, report, pyramid)
