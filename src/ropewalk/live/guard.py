"""Accepts only requests of the live page itself, and answers with strict headers.

Refused with 404 and an empty body: another Host (DNS rebinding) and paths that do not begin with the secret token.
Refused with 403: cross-origin requests (CSRF). A refused connection is closed.
"""

from __future__ import annotations

import secrets
from typing import Any

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    """An ASGI application in front of `app`, whose paths begin with the secret `base` on this machine's `port`."""

    def __init__(self, app: Any, port: int, base: str) -> None:
        self.app, self.base = app, base.encode()
        self.hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status = self._refusal(scope)

        async def strict(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *HEADERS]}
            await send(message)

        if status:
            close = [(b"connection", b"close")]
            await strict({"type": "http.response.start", "status": status, "headers": close})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, strict)

    def _refusal(self, scope: Any) -> int:
        """The status that refuses a request; 0 for one that is let through."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts, path = headers.get(b"host", []), scope["raw_path"].split(b"?")[0]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return 404
        if not secrets.compare_digest(path[: len(self.base)], self.base):
            return 404
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", [b""])[0].split(b";")[0].strip()
            if headers.get(b"origin") != [b"http://" + hosts[0]] or kind != b"application/json":
                return 403
        return 0
