"""Post and update artifacts of a flow run from any process.

Prefect's functions post artifacts of the run that they are called in only. A run whose process was killed is reported
by another process. An error is logged and never raised, because it must not fail a run that built its cube.
"""

import logging
import re
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter, FlowRunFilterId

logger = logging.getLogger(__name__)

Kind = Literal["markdown", "progress"]


def artifact_key(cube: str, what: str) -> str:
    """Return the key of an artifact, such as `vancouver-summary`.

    The UI shows artifacts of one key as versions.
    """
    name = re.sub("[^a-z0-9]+", "-", cube.lower()).strip("-")
    return f"{name}-{what}" if name else what


def post(flow_run_id: UUID, kind: Kind, key: str, data: Any, description: str) -> UUID | None:
    """Create an artifact of a flow run.

    Parameters
    ----------
    flow_run_id : UUID
        Id of the flow run.
    kind : str
        Type of the artifact.
    key : str
        Key of the artifact: lower-case letters, digits and dashes.
    data
        Markdown, or the progress in percent.
    description : str
        Markdown that is shown above the data. A list of artifacts shows its first 30 characters.

    Returns
    -------
    UUID or None
        Id of the artifact, or None if the server did not accept it.
    """
    artifact = ArtifactCreate(type=kind, key=key, data=data, description=description, flow_run_id=flow_run_id)
    try:
        with get_client(sync_client=True) as client:
            return client.create_artifact(artifact).id
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("artifact %s could not be posted: %s", key, error)
        return None


def posted(flow_run_id: UUID, key: str) -> UUID | None:
    """Return the id of an artifact by its key; None if it or the server is missing."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id])),
                limit=1,
            )
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("artifact %s could not be read: %s", key, error)
        return None
    return found[0].id if found else None


def revise(artifact_id: UUID, data: Any, description: str) -> bool:
    """Update an artifact; return whether the server accepted it."""
    try:
        with get_client(sync_client=True) as client:
            client.update_artifact(artifact_id, ArtifactUpdate(data=data, description=description))
    except Exception as error:  # noqa: BLE001  (see above)
        logger.warning("an artifact could not be updated: %s", error)
        return False
    return True
