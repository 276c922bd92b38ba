"""The guard of the live page, request by request, without a network: whom it lets through, and every header it sends."""

from __future__ import annotations

from typing import Any

import event_loop
import pytest

from ropewalk.live.guard import Guard

BASE = "/a-token-of-thirty-two-characters-/"
HOST = b"127.0.0.1:8000"
GOOD = {"host": [HOST], "origin": [b"http://" + HOST], "content-type": [b"application/json"]}


def ask(path: str = BASE, method: str = "GET", **headers: list[bytes]) -> tuple[int, dict[bytes, bytes]]:
    """The status of a request and the headers of its answer; 200 where it is let through."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}
        )
        await send({"type": "http.response.body", "body": b"secret"})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    given = GOOD | {name.replace("_", "-"): values for name, values in headers.items()}
    scope = {
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "headers": [(name.encode(), value) for name, values in given.items() for value in values],
    }
    event_loop.run(Guard(app, 8000, BASE)(scope, None, send))
    assert (sent[0]["status"] == 200) == (b"secret" in sent[1]["body"])
    return sent[0]["status"], dict(sent[0]["headers"])


def test_the_page_itself_is_let_through() -> None:
    assert ask()[0] == ask(BASE + "trace?x=1")[0] == ask(BASE + "trace", "POST")[0] == 200
    assert ask(host=[b"localhost:8000"])[0] == 200


@pytest.mark.parametrize("length", range(len(BASE)))
def test_every_character_of_the_token_counts(length: int) -> None:
    wrong = BASE[:length] + ("x" if BASE[length] != "x" else "y") + BASE[length + 1 :]
    assert ask(wrong)[0] == ask(BASE[:length])[0] == 404


@pytest.mark.parametrize(
    "host",
    [
        [],
        [HOST, HOST],
        [b"127.0.0.1"],
        [b"127.0.0.1:80000"],
        [b"evil.example:8000"],
        [b"127.0.0.1:8000.evil.example"],
    ],
)
def test_other_hosts_are_refused(host: list[bytes]) -> None:
    assert ask(host=host)[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": []},
        {"origin": [b"null"]},
        {"origin": [b"http://evil.example"]},
        {"origin": [b"https://127.0.0.1:8000"]},
        {"origin": [b"http://localhost:8000"]},
        {"origin": [b"http://127.0.0.1:8000", b"http://evil.example"]},
        {"content_type": []},
        {"content_type": [b"text/plain"]},
        {"content_type": [b"application/x-www-form-urlencoded"]},
    ],
)
def test_posts_of_other_pages_are_refused(headers: dict[str, list[bytes]]) -> None:
    assert ask(BASE + "trace", "POST", **headers)[0] == 403


def test_every_answer_has_the_strict_headers() -> None:
    for status, headers in (ask(), ask("/"), ask(BASE + "trace", "POST", origin=[])):
        assert status in (200, 403, 404)
        assert headers[b"cache-control"] == b"no-store" and headers[b"x-frame-options"] == b"DENY"
        assert (
            headers[b"x-content-type-options"] == b"nosniff" and headers[b"referrer-policy"] == b"no-referrer"
        )
        assert headers[b"cross-origin-resource-policy"] == b"same-origin"
        assert headers[b"cross-origin-opener-policy"] == b"same-origin"
        assert (headers.get(b"connection") == b"close") == (status != 200)


def test_other_protocols_are_not_answered() -> None:
    async def app(*_: Any) -> None:
        raise AssertionError

    event_loop.run(Guard(app, 8000, BASE)({"type": "websocket"}, None, None))
