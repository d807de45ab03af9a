"""What an operator sees of a flow run in Prefect's UI: artifacts, posted from whichever process knows something.

Prefect's own functions know the run they are called in; a run whose process was killed is told of by another one.
None of these ever fails a run: a cube that is built is worth more than a page about it.
"""

import logging
import re
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId

logger = logging.getLogger(__name__)

Kind = Literal["markdown", "table", "progress"]


def artifact_key(cube: str, what: str) -> str:
    """Key of an artifact: `vancouver-summary`. Runs of the same cube share it, and the UI shows them as versions."""
    name = re.sub("[^a-z0-9]+", "-", cube.lower()).strip("-")
    return f"{name}-{what}" if name else what


def post(flow_run_id: UUID, kind: Kind, key: str, data: Any, description: str | None = None) -> UUID | None:
    """Create an artifact of a flow run.

    Parameters
    ----------
    flow_run_id : UUID
        Of the run.
    kind : str
        As the UI draws it.
    key : str
        Lower-case letters, digits and dashes.
    data
        Markdown; rows as a JSON text; a share in percent.
    description : str, optional
        Markdown shown above it.

    Returns
    -------
    UUID or None
        Its id, or None where the server did not take it.
    """
    artifact = ArtifactCreate(type=kind, key=key, data=data, description=description, flow_run_id=flow_run_id)
    try:
        with get_client(sync_client=True) as client:
            return client.create_artifact(artifact).id
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("artifact %s could not be posted: %s", key, error)
        return None


def posted(flow_run_id: UUID, key: str) -> UUID | None:
    """Find an artifact of a flow run by its key; None where there is none, or no server."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                limit=1,
            )
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("artifact %s could not be looked for: %s", key, error)
        return None
    return found[0].id if found else None


def revise(artifact_id: UUID, data: Any, description: str) -> bool:
    """Change an artifact; whether the server took it."""
    try:
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact_id, ArtifactUpdate(data=data, description=description))
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("an artifact could not be changed: %s", error)
        return False
    return True
