"""The counted costs of the runs of a cube, in a file of its ledger."""

from __future__ import annotations

import json
import logging

from ardcube.ledger.ledger import Ledger
from ardcube.ledger.record import ChunkRecord
from ardcube.planning.cost.figures import Used
from ardcube.planning.cost.run_cost import RunCost

NAME = "cost.json"
"""Name of the file."""
_MOST_RUNS = 100
"""Runs that the file has at most: the last ones."""

logger = logging.getLogger(__name__)


def used_by(record: ChunkRecord) -> Used:
    """Return the counted figures of a chunk's last attempt; unknown ones are None."""
    numbers, sizes = record.statistics, record.byte_counts
    return Used(
        cpu_seconds=numbers.get("cpu_seconds"),
        seconds=record.attempts[-1].seconds if record.attempts else None,
        requests=numbers.get("requests"),
        received=sizes.get("received"),
        stored=sizes.get("stored"),
        objects=numbers.get("objects"),
    )


def add_run(ledger: Ledger, cost: RunCost) -> None:
    """Add the cost of a run; the run holds the lease of the cube."""
    runs = [*read_runs(ledger), cost][-_MOST_RUNS:]
    ledger.place.write(NAME, json.dumps([one.to_document() for one in runs]).encode())


def read_runs(ledger: Ledger) -> list[RunCost]:
    """Return the costs of the last runs, the newest last; nothing if the file is missing or damaged."""
    content = ledger.place.read(NAME)
    if content is None:
        return []
    try:
        return [RunCost.from_document(document) for document in json.loads(content)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        logger.warning("%s/%s is damaged and ignored: %s", ledger.place.uri, NAME, " ".join(str(error).split())[:200])
        return []
