"""The local server of the live page: loopback only, behind a random token, for one person's own browser.

`ropewalk.live.guard` refuses foreign requests, `ropewalk.live.connections` limits how long a connection may take. Bodies
are limited; a failing model gives an error that the page shows, and the server keeps running. Answers never contain a
path of this machine.
"""

import functools
import json
import re
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Mapping
from typing import Any

from ropewalk.errors import UserError
from ropewalk.live.answers import LONGEST, Answers, Model
from ropewalk.live.assets import live_page
from ropewalk.live.guard import Guard

MOST_BYTES = 128 * 1024
_PATH = re.compile(r"(?:[A-Za-z]:)?[/\\][^\s'\":;,]*[/\\][^\s'\":;,]*")


class Live:
    """A live page on a free port (or `port`) of the loopback interface; `url` opens it.

    UserError when the port is taken and when the packages for serving are missing. `start` and `stop` run it in
    a thread; `run` keeps the calling thread until interrupted.
    """

    def __init__(self, models: Mapping[str, Model], text: str, *, port: int = 0) -> None:
        uvicorn = _uvicorn()
        self.answers = Answers(models)
        self.text = text
        self.token = secrets.token_urlsafe(24)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port))
            self._socket.listen()  # from now on requests wait until the page is served
        except (OSError, OverflowError) as error:
            self._socket.close()
            raise UserError(
                f"cannot serve on port {port} of 127.0.0.1: {error}; choose another port, or 0."
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/{self.token}/"
        from ropewalk.live.connections import Connection

        config = uvicorn.Config(
            self._app(), log_level="error", access_log=False, server_header=False, limit_concurrency=64,
            timeout_keep_alive=30, timeout_graceful_shutdown=2, lifespan="off", ws="none",
            http=functools.partial(Connection, waiting={}),
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Serves until interrupted."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def start(self) -> None:
        """Serves in a thread of its own; requests wait until it is ready."""
        self._thread = threading.Thread(target=self.run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends what `start` began."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()

    def _app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.routing import Route

        base = f"/{self.token}/"
        routes = [
            Route(base, self._page),
            Route(base + "trace", self._trace, methods=["POST"]),
            Route(base + "page", self._saved, methods=["POST"]),
            Route(base + "sensitivities", self._measured, methods=["POST"]),
        ]
        return Guard(Starlette(routes=routes), self.port, base)

    async def _page(self, request: Any) -> Any:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import HTMLResponse

        return HTMLResponse(await run_in_threadpool(live_page, self.answers, self.text, LONGEST))

    async def _trace(self, request: Any) -> Any:
        return await self._answered(request, self.answers.answer)

    async def _saved(self, request: Any) -> Any:
        return await self._answered(request, lambda asked: {"page": self.answers.page(asked)})

    async def _measured(self, request: Any) -> Any:
        return await self._answered(request, self.answers.sensitivities)

    async def _answered(self, request: Any, answer: Any) -> Any:
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return JSONResponse({"error": f"The request is longer than {MOST_BYTES} bytes."}, 413)
        try:
            return JSONResponse(await run_in_threadpool(answer, json.loads(body)))
        except UserError as error:
            return JSONResponse({"error": _PATH.sub("…", str(error))}, 400)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "The request could not be read; reload the page."}, 400)
        except Exception as error:  # a model may fail in any way; the page must not
            print(f"ropewalk: the model failed: {type(error).__name__}: {error}", file=sys.stderr)
            return JSONResponse({"error": f"The model failed ({type(error).__name__})."}, 500)


def serve(models: Mapping[str, Model], text: str, *, port: int = 0, browser: bool = True) -> None:
    """Opens the live page and serves it until interrupted; prints its address."""
    live = Live(models, text, port=port)
    print(f"{live.url}\nOnly this machine can open it. Press Ctrl-C to end.", flush=True)
    if browser:
        threading.Timer(0.5, webbrowser.open, [live.url]).start()
    live.run()


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(
            "The live page needs starlette and uvicorn, which are not installed; run: "
            "pip install 'ropewalk[view]'"
        ) from error
    return uvicorn
