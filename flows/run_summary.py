"""Summarize a run: merge records, count chunks, log failures, post artifacts."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from prefect.logging import get_run_logger
from prefect.states import Completed

from ardcube.planning.cost.estimate import CostEstimate
from ardcube.prepare.finalize import finalize, write_documents
from ardcube.prepare.publish import publish
from ardcube.prepare.run_cost import counted_cost
from ardcube.redaction import without_secrets
from ardcube.report.statistics import Tally
from ardcube.report.summary import BuildSummary, RunScope, summarize
from ardcube.report.wording import count_of
from flows.run_context import RunContext
from flows.summary_artifacts import post_summary

_MOST_LOGGED = 20
"""Causes and scenes that are logged one by one. The page of failures has more of them, the ledger has all."""


def summarize_run(
    context: RunContext, tally: Tally, levels: Sequence[RunContext] = (), expected: CostEstimate | None = None
) -> BuildSummary:
    """Merge the records of a run, and return its summary after logging and posting it.

    Parameters
    ----------
    context : RunContext
        The run, all chunks of which have ended.
    tally : Tally
        Time and attempts that the chunks took.
    levels : sequence of RunContext
        Levels of the pyramid that were built.
    expected : CostEstimate, optional
        Estimate of the cost at the beginning of the run.

    Raises
    ------
    LeaseLostError
        If another run holds the cube by now.
    """
    context.lease.check()
    pending = context.pending
    records = pending.ledger.compact()
    seconds = time.perf_counter() - context.started
    scope = RunScope(pending.place.uri, pending.chunks, pending.not_done, context.selected)
    summary = summarize(scope, records, seconds, context.run.skip_bad_scenes)
    built = summary.written + summary.empty, summary.megapixels, seconds
    summary = replace(summary, cost=counted_cost(pending, context.run, expected, tally.used, built))
    for level in levels:
        found = level.pending.ledger.records(brief=True)
        summary = summary.with_level(level.pending.plan.spec.level, level.selected, found)
    logger = get_run_logger()
    logger.info("%d written, %d empty, %d failed", summary.written, summary.empty, summary.failed)
    if context.run.report:
        from ardcube.report.html.write import write_next_to_ledger  # xarray takes memory that workers have not

        report = write_next_to_ledger(pending.place, context.run.storage_options, pending.ledger)
        summary = replace(summary, report=report)
        if report is not None:
            logger.info("report page %s", report)
    post_summary(context, records, summary, tally)
    for scene in summary.left_out[:_MOST_LOGGED]:
        chunks = count_of(scene.chunks, "chunk")
        logger.warning("scene %s is left out of %s: %s", scene.scene, chunks, scene.reason)
    for cause in summary.causes[:_MOST_LOGGED]:
        remedy = f"; {cause.remedy}" if cause.remedy else ""
        chunks = count_of(cause.chunks, "chunk")
        logger.error("%s failed, the first is %s: %s%s", chunks, cause.first, cause, remedy)
    if len(summary.causes) > _MOST_LOGGED:
        logger.error("%d more causes", len(summary.causes) - _MOST_LOGGED)
    for message in summary.empty_periods.messages():
        logger.warning("%s", message)
    finalize(pending.place, pending.ledger, records.values())
    is_complete = not summary.failures and len(context.selected) == len(pending.jobs)
    if pending.transaction is not None and (tag := publish(pending, complete=is_complete)) is not None:
        logger.info("published as %s", tag)
    write_documents(context.run, pending.place, pending.plan.spec.storage_backend)
    return summary


def completed(summary: BuildSummary) -> BuildSummary:
    """Return the summary as the result of a flow whose state has the outcome as its message."""
    # A flow that returns a state ends in this state, and its caller gets the data.
    return cast("BuildSummary", Completed(message=without_secrets(summary.message), data=summary))
