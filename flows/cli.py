"""The `ardcube` command."""

import atexit
import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ardcube.errors import ArdcubeError, InputError
from ardcube.redaction import WithoutSecrets, without_secrets
from flows.options import ModelCommand, build_model, key_values

if TYPE_CHECKING:  # All but click is imported late, so that help and mistakes take no time.
    from rich.console import Console

    from ardcube.config import CubeConfig, RunConfig
    from ardcube.report.summary import BuildSummary

_BAD_INPUT = 2
_FAILED = 1
_INTERRUPTED = 130
_TERMINATED = 143
_GRACE_SECONDS = 3.0
"""For what Prefect has still to send, after the cube was let go."""
_leaving: list[int] = []
"""Exit code of a command that was stopped."""
_NOWHERE = "memory://ardcube-plan"
"""Stands for the store in a plan that asks for none."""
_NOT_OF_A_RETRY = (
    "fsspec_uri", "initialize", "overwrite", "look_back_months", "allow_asset_roots", "dry_run", "max_chunks", "yes",
)  # fmt: skip
"""Fields that say what is built, or whether; a retry knows that from the cube."""

storage_option = click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=key_values,
    help="Option of the store's filesystem, such as endpoint_url.",
)
# `main` looks for it; `build` and `plan` have it as a field of their model.
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")


def _models() -> "tuple[type[CubeConfig], type[RunConfig]]":
    from ardcube.config import CubeConfig, RunConfig

    return CubeConfig, RunConfig


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="ardcube")
def cli() -> None:
    """Build analysis-ready data cubes of Sentinel-2 L2A composites."""


@cli.command(cls=ModelCommand, models=_models)
def build(**values: Any) -> None:
    """Build a cube, or what is missing of it."""
    cube, run = _requested(values)
    if run.dry_run:
        _show_plan(cube, run)
        return
    _configure_prefect(run.debug)
    from ardcube.prepare.check import check_request

    # Bad input is told before Prefect is started, which takes longer than all of these checks; but only Prefect knows
    # the credentials in its blocks.
    if run.credentials_block is None:
        check_request(cube, run)

    from flows.build_cube import build_cube

    _follow(lambda: build_cube(cube, run))


@cli.command(cls=ModelCommand, models=lambda: _models()[1:], without=_NOT_OF_A_RETRY)
@click.argument("fsspec_uri", metavar="URI")
@click.option("--missing", is_flag=True, help="Build also chunks that no run has built so far.")
def retry(missing: bool, **values: Any) -> None:
    """Build just what failed of the cube at URI, from the scenes that it was planned with; nothing is searched."""
    run = build_model(_models()[1], values)
    _configure_prefect(run.debug)
    if run.credentials_block is None and _has_nothing_to_retry(run, missing):
        return

    from flows.retry_cube import retry_cube

    _follow(lambda: retry_cube(run, missing))


@cli.command(cls=ModelCommand, models=_models)
def plan(**values: Any) -> None:
    """Show what would be built, and write nothing."""
    values["fsspec_uri"] = values["fsspec_uri"] or _NOWHERE
    _show_plan(*_requested(values))


@cli.command()
@click.argument("uri")
@click.option("--json", "as_json", is_flag=True, help="Every record, as JSON.")
@storage_option
@debug_option
def status(uri: str, as_json: bool, storage_options: dict[str, Any]) -> None:
    """Show what became of the chunks of the cube at URI."""
    from ardcube.ledger.ledger import Ledger
    from ardcube.storage.place import Place
    from flows.console import print_records

    ledger = Ledger.beside(Place.at(uri, storage_options))
    cube = ledger.read_cube()
    if cube is None:
        raise InputError(f"{uri} is no cube of ardcube: there is no {ledger.place.uri}/cube.json")
    records = list(ledger.records().values())
    if as_json:
        chunks = [asdict(record) | {"key": str(record.key)} for record in records]
        click.echo(json.dumps({"cube": cube, "chunks": chunks}, indent=1))
    else:
        print_records(_console(), records)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@debug_option
def sample(folder: Path) -> None:
    """Write a small synthetic Sentinel-2 archive to FOLDER, for trying the program offline."""
    from ardcube.sample import write_archive

    archive = write_archive(folder)
    click.echo(f"{archive.items} items in {folder}")


@cli.command()
@click.argument("uri")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the pictures.")
@storage_option
@debug_option
def quicklook(uri: str, output: Path, storage_options: dict[str, Any]) -> None:
    """Draw one PNG per period of the cube at URI."""
    from ardcube.report.quicklook import write_quicklooks

    for picture in write_quicklooks(uri, output, storage_options=storage_options):
        click.echo(picture)


class _TerminatedError(BaseException):
    """SIGTERM came: whoever stops a container wants the program to end tidily, and soon."""


def _on_sigterm(*_: object) -> None:
    raise _TerminatedError


def main() -> None:
    """Run the command; anything a person got wrong is one line and exit code 2."""
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _on_sigterm)
    atexit.register(_leave_now)  # before any library does, so that it is called when they are done
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except _TerminatedError:
        _leave("terminated; run the same command again to continue", _TERMINATED)
    except click.exceptions.Abort:
        _leave("interrupted; run the same command again to continue", _INTERRUPTED)
    except click.ClickException as error:
        _stop(error.format_message(), error.exit_code)
    except ArdcubeError as error:
        if debug:
            click.echo(without_secrets(traceback.format_exc()), err=True)
        _stop(str(error), _BAD_INPUT if isinstance(error, InputError) else _FAILED)
    except KeyboardInterrupt:
        _leave("interrupted; run the same command again to continue", _INTERRUPTED)
    except Exception as error:  # noqa: BLE001  (the last resort: whatever it was, a person reads one line)
        if debug:
            click.echo(without_secrets(traceback.format_exc()), err=True)
        _stop(f"{type(error).__name__}: {error} (--debug shows where)", _FAILED)


def _requested(values: dict[str, Any]) -> "tuple[CubeConfig, RunConfig]":
    cube, run = _models()
    return build_model(cube, values), build_model(run, values)


def _import_what_builds() -> None:
    """Import what chunks are built with; where that fails, whoever needs it says so."""
    with suppress(ImportError):
        for name in ("ardcube.store.schema", "ardcube.ledger.manifest", "ardcube.chunk.build", "distributed"):
            import_module(name)
        import_module("ardcube.kernels.sampling")


def _leave(message: str, code: int) -> None:
    """Stop, and soon: Python would wait for whatever still reads, which a server may answer in minutes."""
    logging.raiseExceptions = False  # threads that go on meanwhile find the loggers closed
    last = threading.Timer(_GRACE_SECONDS, os._exit, [code])
    last.daemon = True
    last.start()
    _leaving.append(code)
    _stop(message, code)


def _leave_now() -> None:
    """Go without taking the interpreter apart, which aborts where a thread that was not waited for still writes."""
    if _leaving:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_leaving[0])


def _stop(message: str, code: int) -> None:
    line = " ".join(without_secrets(message).split())
    # A terminal obeys what is not printable, and a message may quote a catalogue.
    click.echo(f"ardcube: {''.join(letter for letter in line if letter.isprintable())}", err=True)
    sys.exit(code)


def _has_nothing_to_retry(run: "RunConfig", missing: bool) -> bool:
    """Find what a person got wrong, or that there is nothing to do, before Prefect is started."""
    from ardcube.prepare.retry import check_retry

    checked = check_retry(run)
    failed, unbuilt = checked.count_missing(checked.ledger.records(brief=True).values())
    if failed or missing:
        return False
    left = f"; {unbuilt} were never built, which --missing does" if unbuilt else ""
    click.echo(f"nothing to retry: no chunk of {checked.chunks} failed{left}")
    return True


def _follow(flow: "Callable[[], BuildSummary]") -> None:
    """Show how far a flow is, and what it did."""
    from ardcube.report.summary import ChunksFailedError
    from flows.console import ConsoleProgress, print_summary
    from flows.progress import reporting
    from flows.temporary_server import start_server

    console = _console()
    progress = ConsoleProgress(console)
    start_server(meanwhile=_import_what_builds)
    try:
        with reporting(progress):
            summary = flow()
    except ChunksFailedError as error:
        progress.finished()
        print_summary(console, error.summary)
        raise
    finally:
        progress.finished()
    print_summary(console, summary)


def _show_plan(cube: "CubeConfig", run: "RunConfig") -> None:
    from ardcube.ledger.ledger import finished
    from ardcube.plan.estimate import estimate, within_memory
    from ardcube.prepare.check import check_request
    from ardcube.prepare.planning import make_plan, search_scenes
    from flows.console import ConsoleProgress, print_estimate

    request = check_request(cube, run, build=run.fsspec_uri != _NOWHERE)
    console = _console()
    planned = make_plan(request, search_scenes(request, ConsoleProgress(console).searched), build=False)
    planned = within_memory(planned, run.memory_bytes, run.local_threads)
    records = {} if run.overwrite or run.fsspec_uri == _NOWHERE else request.ledger.records(brief=True)
    pending = planned.jobs.without(finished(records, run.skip_bad_scenes)) if records else ()
    print_estimate(console, estimate(planned), len(pending), run.local_threads)


def _console() -> "Console":
    from rich.console import Console

    return Console(markup=False)  # what a ledger says is no markup


def _configure_prefect(debug: bool) -> None:
    """Set what Prefect reads when it is imported; what a person has set stays."""
    if debug:
        os.environ.setdefault("PREFECT_LOGGING_LEVEL", "DEBUG")
        handler = logging.StreamHandler()
        handler.setFormatter(WithoutSecrets(logging.BASIC_FORMAT))
        logging.basicConfig(level=logging.DEBUG, handlers=[handler])
    else:
        # The progress bar and the summary tell it; the Prefect server still gets every log line.
        os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        logging.getLogger("ardcube").addHandler(logging.NullHandler())
    # The temporary server must not call home, least of all from a machine without a network.
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # A server that was there is waited for: 2, 4, 8 ... seconds, four minutes in all; Prefect's default is one.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "7")
    # A machine under load takes longer than Prefect's default to start a server for a single run.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")
