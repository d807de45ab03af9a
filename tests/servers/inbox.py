"""A webhook on loopback that keeps the notifications of Prefect's automations."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prefect.blocks.notifications import CustomWebhookNotificationBlock


@dataclass(slots=True)
class Inbox:
    """Notifications that were received."""

    url: str = ""
    came: list[dict[str, str]] = field(default_factory=list)

    def save_block(self) -> str:
        """Save a notification block for this inbox at the server; return its type and name."""
        block = CustomWebhookNotificationBlock(
            name="inbox", url=self.url, json_data={"subject": "{{subject}}", "body": "{{body}}"}
        )
        block.save("inbox", overwrite=True, _sync=True)  # type: ignore[call-overload]
        return "custom-webhook/inbox"


@contextmanager
def open_inbox() -> Iterator[Inbox]:
    """Serve an inbox."""
    inbox = Inbox()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            inbox.came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        inbox.url = f"http://127.0.0.1:{server.server_port}/"
        yield inbox
        server.shutdown()
        thread.join()
