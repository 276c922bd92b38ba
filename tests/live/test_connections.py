"""Silent, slow and many connections do not keep the live page from being served."""

from __future__ import annotations

import asyncio
import http.client
import socket
from collections.abc import Iterator
from typing import Any

import event_loop
import pytest
from tiny import config
from uvicorn import Config
from uvicorn.server import ServerState

from ropewalk.live import Live, connections
from ropewalk.live.answers import Model
from ropewalk.live.connections import MOST_WAITING, Connection
from ropewalk.native.decoder import Decoder


class Transport:
    """Records whether a connection was cut off, and what was written to it."""

    def __init__(self) -> None:
        self.aborted, self.written = False, b""
        self.gone = asyncio.Event()

    def get_extra_info(self, name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted = True
        self.gone.set()

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.aborted

    def close(self) -> None:
        self.abort()

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def app(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def opened(waiting: dict[Connection, None]) -> tuple[Connection, Transport]:
    made = Connection(
        config=Config(app, log_level="error", lifespan="off"),
        server_state=ServerState(),
        app_state={},
        waiting=waiting,
    )
    transport = Transport()
    made.connection_made(transport)  # type: ignore[arg-type]
    return made, transport


REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"


def test_a_request_has_to_arrive_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.05)

    async def run() -> None:
        for part in (b"", b"GET / HT", REQUEST[:-1]):
            made, transport = opened({})
            made.data_received(part) if part else None
            await transport.gone.wait()
            assert not made.waiting

    event_loop.run(run())


def test_a_complete_request_is_no_longer_waited_for() -> None:
    async def run() -> None:
        made, transport = opened({})
        for byte in REQUEST:
            assert made in made.waiting
            made.data_received(bytes([byte]))
        assert not made.waiting and made._request_deadline is None
        await asyncio.gather(*made.tasks)
        assert transport.written.endswith(b"ok") and not transport.aborted
        made.data_received(b"G")  # the next one on the same connection
        assert made in made.waiting
        made.connection_lost(None)
        assert not made.waiting

    event_loop.run(run())


def test_the_rest_of_a_request_that_came_early_is_waited_for() -> None:
    async def run() -> None:
        made, _ = opened({})
        made.data_received(REQUEST + REQUEST[:-1])
        while made.tasks:
            await asyncio.gather(*list(made.tasks)[:1])
            if made in made.waiting:
                break
        assert made in made.waiting
        made.connection_lost(None)

    event_loop.run(run())


def test_the_oldest_of_too_many_silent_connections_goes() -> None:
    async def run() -> None:
        waiting: dict[Connection, None] = {}
        pairs = [opened(waiting) for _ in range(MOST_WAITING + 2)]
        assert [transport.aborted for _, transport in pairs] == [True] * 2 + [False] * MOST_WAITING
        assert len(waiting) == MOST_WAITING
        for made, _ in pairs:
            made.connection_lost(None)

    event_loop.run(run())


def test_an_answer_has_to_be_read_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READING_SECONDS", 0.05)

    async def run() -> None:
        made, transport = opened({})
        made.pause_writing()
        made.resume_writing()
        assert made._reading_deadline is None
        made.pause_writing()
        await transport.gone.wait()
        made.connection_lost(None)

    event_loop.run(run())


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    served = Live({"tiny": Model(Decoder(config(), seed=0).eval())}, "rope")
    served.start()
    yield served
    served.stop()


def test_a_hundred_silent_connections_do_not_lock_the_page_out(live: Live) -> None:
    silent = [socket.create_connection(("127.0.0.1", live.port), timeout=60) for _ in range(100)]
    try:
        for number in range(3):
            connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
            connection.request("GET", f"/{live.token}/" if number else "/")
            assert connection.getresponse().status == (200 if number else 404)
            connection.close()
        with pytest.raises(ConnectionError):
            if not silent[0].recv(1):
                raise ConnectionResetError
    finally:
        for one in silent:
            one.close()
