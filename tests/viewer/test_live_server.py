"""The local server: whom it answers, what it limits, and that it outlives a failing model."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tiny import config, moved

from ropewalk.errors import UserError
from ropewalk.live import Live
from ropewalk.live.answers import Model
from ropewalk.live.server import MOST_BYTES
from ropewalk.native.decoder import Decoder
from ropewalk.tokens.tokenizer import ByteTokenizer

SECRET = "/vault/somebody/private/model.safetensors"


class Failing:
    """A host that fails the way a broken model would, naming a file."""

    tokenizer = ByteTokenizer()
    vocab_size = 257

    def __init__(self, error: Exception) -> None:
        self.error = error
        good = Decoder(config())
        self.rows, self.context_length, self.gap, self.describe = (
            good.rows,
            good.context_length,
            good.gap,
            good.describe,
        )

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise self.error


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    models = {
        "tiny": Model(moved(Decoder(config(), seed=3))),
        "broken": Model(Failing(RuntimeError(f"bad weights in {SECRET}"))),  # type: ignore[arg-type]
        "refusing": Model(Failing(UserError(f"Expected a model in {SECRET}, got nothing."))),  # type: ignore[arg-type]
    }
    served = Live(models, "rope")
    served.start()
    yield served
    served.stop()


def send(live: Live, method: str = "POST", path: str | None = None, body: Any = None, **headers: str) -> Any:
    origin = f"http://127.0.0.1:{live.port}"
    found_content = {"Origin": origin, "Content-Type": "application/json"} if method == "POST" else {}
    found_content |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=60)
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection.request(method, path or f"/{live.token}/trace", data, found_content)
    response = connection.getresponse()
    content = response.read().decode()
    connection.close()
    return response.status, content, response


ROPE = {"model": "tiny", "text": "rope"}


def test_it_listens_on_the_loopback_interface_only(live: Live) -> None:
    assert live._socket.getsockname()[0] == "127.0.0.1"


def test_the_page_comes_with_its_first_picture_and_strict_headers(live: Live) -> None:
    status, content, response = send(live, "GET", f"/{live.token}/")
    assert status == 200 and '"text":"rope"' in content
    assert response.headers["Cache-Control"] == "no-store" and response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert "access-control-allow-origin" not in response.headers


def test_a_trace_is_answered(live: Live) -> None:
    status, content, _ = send(live, body=ROPE)
    assert status == 200 and json.loads(content)["entry"]["name"] == "tiny"


def test_a_page_can_be_saved(live: Live) -> None:
    status, content, _ = send(live, path=f"/{live.token}/page", body=ROPE)
    assert status == 200 and json.loads(content)["page"].startswith("<!doctype html>")


@pytest.mark.parametrize("path", ["/", "/trace", "/wrong/trace", "//trace", "/%2e%2e/etc/passwd"])
def test_without_the_token_there_is_nothing(live: Live, path: str) -> None:
    for method in ("GET", "POST"):
        assert send(live, method, path)[:2] == (404, "")


@pytest.mark.parametrize("path", ["../../etc/passwd", "page/../../x", "files", "docs", "openapi.json"])
def test_behind_the_token_there_is_nothing_else(live: Live, path: str) -> None:
    assert send(live, "GET", f"/{live.token}/{path}")[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "", "localhost.evil.example:80"]
)
def test_a_foreign_host_name_is_refused(live: Live, host: str) -> None:
    assert send(live, "GET", f"/{live.token}/", Host=host)[0] == 404


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1"]
)
def test_a_foreign_origin_is_refused(live: Live, origin: str) -> None:
    assert send(live, body=ROPE, Origin=origin)[0] == 403


def test_localhost_is_the_same_machine(live: Live) -> None:
    name = f"localhost:{live.port}"
    assert send(live, body=ROPE, Host=name, Origin=f"http://{name}")[0] == 200


def test_a_form_of_another_page_is_refused(live: Live) -> None:
    assert send(live, body=b"{}", Content_Type="text/plain")[0] == 403


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 20_000, b"[]", b'{"text": 1}'])
def test_a_body_that_makes_no_sense_is_refused(live: Live, body: bytes) -> None:
    status, content, _ = send(live, body=body)
    assert status == 400 and json.loads(content)["error"]


def test_a_body_that_is_too_long_is_refused(live: Live) -> None:
    assert send(live, body=b" " * (MOST_BYTES + 1))[0] == 413


@pytest.mark.parametrize("name", ["broken", "refusing"])
def test_a_failing_model_is_content_without_paths_and_the_others_go_on(
    live: Live, name: str, capfd: Any
) -> None:
    status, content, _ = send(live, body={"model": name, "text": "rope"})
    assert status in (400, 500) and json.loads(content)["error"]
    assert "somebody" not in content and "/vault" not in content
    assert send(live, body=ROPE)[0] == 200
    capfd.readouterr()


def test_many_at_once_are_all_answered(live: Live) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(send(live, body=ROPE)[0])) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 12


def test_every_server_has_a_token_of_its_own_and_waits_for_its_first_request(live: Live) -> None:
    other = Live({"tiny": Model(Decoder(config()))}, "rope")
    socket.create_connection(("127.0.0.1", other.port), timeout=5).close()  # before it runs: not refused
    other._socket.close()
    assert len(other.token) >= 32 and other.token != live.token


def test_a_taken_port_is_content(live: Live) -> None:
    with pytest.raises(UserError, match="choose another port"):
        Live({"tiny": Model(Decoder(config()))}, "rope", port=live.port)
