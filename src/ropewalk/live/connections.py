"""Connections of the live page that cannot be held up: a request and the reading of an answer have limited time.

A browser sends a request at once. A connection that sends nothing, or a byte now and then, is closed after
`REQUEST_SECONDS`; of more than `MOST_WAITING` such connections the oldest is closed at once, so that no number of them
keeps the page from being served. A client that does not read its answer is cut off after `READING_SECONDS`.
"""

from __future__ import annotations

from asyncio import Transport
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0
READING_SECONDS = 30.0
MOST_WAITING = 32


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 connection with deadlines. `waiting`: those whose request is not complete, oldest first."""

    def __init__(self, *args: Any, waiting: dict[Connection, None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting = waiting
        self._request_deadline: Any = None
        self._reading_deadline: Any = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        self._expect_request()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE and self.conn.their_state is not h11.SEND_BODY:
            self._request_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # the next request has begun to arrive already
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._request_complete()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reading_deadline is None:
            self._reading_deadline = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
            self._reading_deadline = None
        super().resume_writing()

    def _expect_request(self) -> None:
        if self in self.waiting:
            return
        self.waiting[self] = None
        self._request_deadline = self.loop.call_later(REQUEST_SECONDS, self._drop)
        if len(self.waiting) > MOST_WAITING:
            next(iter(self.waiting))._drop()

    def _request_complete(self) -> None:
        self.waiting.pop(self, None)
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _drop(self) -> None:
        self._request_complete()
        self.transport.abort()
