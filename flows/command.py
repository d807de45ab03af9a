"""Entry point of the `ardcube` command: handle signals, then import the rest."""

from typing import NoReturn

from flows import signals


def main() -> NoReturn:
    """Run the command and exit."""
    signals.install()
    from flows.cli import cli
    from flows.process_exit import run_command

    run_command(lambda: cli.main(standalone_mode=False))
