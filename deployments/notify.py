"""Create the automations of automations.yaml, which notify by a block of the Prefect server.

    python deployments/notify.py slack-webhook/operators

The argument is type and name of a notification block, as `prefect block ls` lists it. Prefect itself creates an
automation for any id: of a block that does not exist, it reports the error in the log of its server at each failed run.
Automations of the same names are replaced.
"""

import sys
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import BlockDocument
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

AUTOMATIONS = Path(__file__).with_name("automations.yaml")
CAPABILITY = "notify"
"""Capability of blocks that send notifications."""


def main() -> None:
    """Check the block, then create the automations."""
    if len(sys.argv) != 2:
        fail("give type and name of one notification block, such as slack-webhook/operators")
    try:
        with get_client(sync_client=True) as client:
            block = notification_block(client, sys.argv[1])
            for automation in yaml.safe_load(AUTOMATIONS.read_text().replace("BLOCK_ID", str(block)))["automations"]:
                create(client, AutomationCore.model_validate(automation))
    except httpx.TransportError as error:
        fail(f"the server does not answer ({error}); set PREFECT_API_URL")


def notification_block(client: SyncPrefectClient, name: str) -> UUID:
    """Return the id of a notification block; exit if the server has none of this name."""
    kind, _, its_name = name.partition("/")
    try:
        found = client.read_block_document_by_name(its_name, kind, include_secrets=False)
    except ObjectNotFound:
        fail(f"{name} is no block of the server {client.api_url}; {choices(client)}")
    if not can_notify(found):
        fail(f"{name} is a block that sends no notifications; {choices(client)}")
    return found.id


def choices(client: SyncPrefectClient) -> str:
    """Return a clause that names the notification blocks of the server."""
    blocks = client.read_block_documents(include_secrets=False, limit=200)
    names = sorted(
        f"{block.block_type.slug}/{block.name}" for block in blocks if block.block_type and can_notify(block)
    )
    return f"choose one of {', '.join(names)}" if names else "create a notification block under Blocks"


def can_notify(block: BlockDocument) -> bool:
    """Return whether a block sends notifications."""
    return block.block_schema is not None and CAPABILITY in block.block_schema.capabilities


def create(client: SyncPrefectClient, automation: AutomationCore) -> None:
    """Create an automation in place of those of its name."""
    for old in client.read_automations_by_name(automation.name):
        client.delete_automation(old.id)
    print(f"created automation {automation.name!r}: {client.create_automation(automation)}")


def fail(problem: str) -> NoReturn:
    """Exit with one line."""
    print(f"deployments/notify.py: {problem}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
