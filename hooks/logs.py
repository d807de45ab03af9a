"""Lines that the domain logs, on their way to the run in Prefect: each names its chunk, none holds a secret.

Dask workers print them where nobody looks. Prefect's `PREFECT_LOGGING_EXTRA_LOGGERS` would send them too, but must be
set on every worker before it starts, and knows neither chunks nor secrets.
"""

import logging
from collections.abc import Sequence
from threading import Lock

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger

from ardcube.ledger.record import ChunkRecord
from ardcube.redaction import hide_secrets, without_secrets
from ardcube.runtime.log_context import current_chunk

_OURS = "ardcube"
_lock = Lock()
# Prefect logs all parameters of a flow run whose parameters are refused, before any line of the flow is run.
logging.getLogger("prefect.flows").addFilter(hide_secrets)


class ToTheRun(logging.Handler):
    """Passes lines on to the logger of the flow or task run that they were written in."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on; what is logged outside of any run stays where it is."""
        try:
            run_logger = get_run_logger()
        except MissingContextError:
            return
        try:
            run_logger.log(record.levelno, "%s", line_of(record))
        except Exception:  # noqa: BLE001  (what `logging` asks of a handler: a line is not worth a chunk)
            self.handleError(record)


def line_of(record: logging.LogRecord) -> str:
    """What a record says, with its chunk in front and without secrets."""
    line, chunk = without_secrets(record.getMessage()), current_chunk()
    return line if not chunk or chunk in line else f"{chunk}: {line}"


def forward_logs() -> None:
    """Let the run that this process works for hear what the domain logs. Harmless when repeated."""
    logger = logging.getLogger(_OURS)
    with _lock:
        if not any(isinstance(handler, ToTheRun) for handler in logger.handlers):
            logger.addHandler(ToTheRun())


def tell_built(records: Sequence[ChunkRecord]) -> None:
    """Log what became of a batch: a line on the chunk, or one on all of them where there are several.

    A line per chunk would cost the Prefect server more than the chunks cost the workers.
    """
    if len(records) == 1:
        (record,) = records
        seconds = record.attempts[-1].seconds if record.attempts else 0.0
        get_run_logger().info(
            "%s: %s in %.1f s from %d scenes, %.0f %% of its pixels observed",
            record.key, record.status, seconds, len(record.scenes), 100 * record.statistics.get("observed_share", 0.0),
        )  # fmt: skip
        return
    written = sum(record.status == "written" for record in records)
    seconds = sum(record.attempts[-1].seconds for record in records if record.attempts)
    get_run_logger().info(
        "%s..%s: %d chunks, %d written, %d empty, %.1f s of work",
        records[0].key, records[-1].key, len(records), written, len(records) - written, seconds,
    )  # fmt: skip
