"""Print the records of a cube as one JSON document, chunk by chunk, so that memory does not grow with the cube."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict

from ardcube.ledger.last_plan import Planned
from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.report.cube_status import CubeStatus


def print_json(write: Callable[[str], object], ledger: Ledger, planned: Planned) -> None:
    """Print `cube.json`, a line per chunk, the number of chunks that are due, and the run that holds the lease.

    Parameters
    ----------
    write : callable
        Gets the text, part by part.
    ledger : Ledger
        Ledger of the cube.
    planned : Planned
        Plan of its last build.
    """
    write(f'{{\n"cube": {json.dumps(ledger.read_cube())},\n"chunks": [')
    state = CubeStatus.take(ledger, planned, _printed(write, ledger))
    held_by = None if state.holder is None else str(state.holder)
    write(f'\n],\n"due": {state.due},\n"held_by": {json.dumps(held_by)}\n}}\n')


def _printed(write: Callable[[str], object], ledger: Ledger) -> Iterator[ChunkRecord]:
    """Yield each record after it was printed."""
    separator = "\n"
    for record in ledger.each():
        write(separator + json.dumps(asdict(record) | {"key": str(record.key)}))
        separator = ",\n"
        yield record
