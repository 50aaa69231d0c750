"""The server of the status page and the metrics, and who connects to it for other reasons."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from runtime.node.web import NOT_HERE, Answer, WebServer, server
from tests.runtime.node.waiting import until

SMALL = Answer(200, "text/plain", b"here")

LARGE = Answer(200, "text/plain", b"x" * 5_000_000)


def answer(path: str) -> Answer:
    if path == "/defect":
        raise ZeroDivisionError("a defect")
    return {"/": SMALL, "/large": LARGE}.get(path, NOT_HERE)


@pytest.fixture
def web() -> Iterator[WebServer]:
    made = WebServer("test", "127.0.0.1", 0, answer)
    made.start()
    yield made
    made.close()


def ask(web: WebServer, path: str = "/", host: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.request("GET", path, headers={} if host is None else {"Host": host})
        got = connection.getresponse()
        return got.status, got.read()
    finally:
        connection.close()


def connected(web: WebServer, first: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", web.port), 10)
    made.sendall(first)
    return made


def over(stream: socket.socket) -> bool:
    """Whether the other end has closed it, without an answer."""
    try:
        return stream.recv(1) == b""
    except OSError:
        return True


def test_many_connections_cost_no_thread_and_shut_nobody_out(web: WebServer) -> None:
    before = threading.active_count()
    with ExitStack() as opened:
        for _ in range(5 * server.CONNECTIONS):
            opened.enter_context(connected(web, b"GET / HT"))
            assert threading.active_count() == before
        for _ in range(20):
            assert ask(web) == (200, b"here")
        assert len(web._open) <= server.CONNECTIONS


def test_what_drips_is_cut_after_a_time_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIFETIME", 0.3)
    web = WebServer("test", "127.0.0.1", 0, answer)
    web.start()
    with connected(web) as idle, connected(web) as dripping, connected(web) as deaf:
        deaf.sendall(b"GET /large HTTP/1.0\r\nHost: localhost\r\n\r\n")
        cut = threading.Event()

        def drip() -> None:
            try:
                while not cut.wait(0.02):
                    dripping.sendall(b"G")
            except OSError:
                cut.set()

        thread = threading.Thread(target=drip)
        thread.start()
        assert over(idle)
        assert cut.wait(10)
        thread.join()
        until(lambda: not web._open)
    web.close()


def test_answers_of_any_size_arrive_whole(web: WebServer) -> None:
    assert ask(web, "/large") == (200, LARGE.content)
    assert ask(web, "/nothing")[0] == 404


@pytest.mark.parametrize(
    ("sent", "got"),
    [
        (b"x" * 100_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 100_000, b"431"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"421"),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"501"),
        (b"\xff\xfe\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused(web: WebServer, sent: bytes, got: bytes) -> None:
    with connected(web) as stream:
        stream.sendall(sent)
        assert got in stream.recv(4096)
    assert ask(web)[0] == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("192.0.2.7:9321", 200),
        ("[2001:db8::1]", 200),
        (socket.gethostname(), 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
    ],
)
def test_no_name_of_others_leads_here(web: WebServer, host: str, status: int) -> None:
    assert ask(web, host=host)[0] == status


def test_a_page_that_fails_is_noted_and_others_are_served(web: WebServer) -> None:
    assert ask(web, "/defect")[0] == 500
    assert ask(web)[0] == 200
    assert (web.stage.failures, web.stage.failure) == (1, "ZeroDivisionError: a defect")


def test_a_server_that_fails_begins_again(web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.stage._backoff, "next", lambda: 0.0)
    accept = WebServer._accept
    failing = iter([True])

    def once(self: WebServer) -> None:
        if next(failing, False):
            raise SystemExit("a defect")
        accept(self)

    monkeypatch.setattr(WebServer, "_accept", once)
    assert ask(web) == (200, b"here")
    assert web.stage.failure == "SystemExit: a defect"


@pytest.mark.parametrize("host", ["", " ", "\t"])
def test_it_never_listens_everywhere_by_accident(host: str) -> None:
    with pytest.raises(OSError, match="host is empty"):
        WebServer("test", host, 0, answer)


def test_it_lets_go_of_its_address() -> None:
    first = WebServer("test", "localhost", 0, answer)
    first.start()
    first.close()
    again = WebServer("test", "127.0.0.1", first.port, answer)
    again.close()


def echo(path: str, body: bytes) -> Answer:
    return Answer(200, "application/octet-stream", path.encode() + b" " + body)


@pytest.fixture
def taking() -> Iterator[WebServer]:
    made = WebServer("test", "127.0.0.1", 0, answer, take=echo, largest_body=100_000)
    made.start()
    yield made
    made.close()


def send(web: WebServer, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=10)
    try:
        connection.request("POST", "/in", body, headers)
        got = connection.getresponse()
        return got.status, got.read()
    finally:
        connection.close()


def test_what_is_sent_is_taken_whole(taking: WebServer) -> None:
    body = bytes(range(256)) * 300 + b"\r\n\r\n"
    assert send(taking, body) == (200, b"/in " + body)
    assert send(taking, b"") == (200, b"/in ")
    assert ask(taking) == (200, b"here")
    dripping = connected(
        taking, b"POST /in HTTP/1.0\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n12"
    )
    dripping.sendall(b"3456789")
    got = b"".join(iter(lambda: dripping.recv(1000), b""))
    assert got.endswith(b"/in 123456789")


def test_what_is_sent_is_bounded(taking: WebServer, web: WebServer) -> None:
    head = b"POST /in HTTP/1.0\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n"
    for length in (b"100001", b"9" * 40, b"-1", b"x"):
        with connected(taking, head % length) as stream:
            assert stream.recv(100).startswith(b"HTTP/1.0 413"), length
    assert send(web, b"abc")[0] == 501


def test_other_sites_send_nothing(taking: WebServer) -> None:
    own = f"127.0.0.1:{taking.port}"
    assert send(taking, b"a", Origin=f"http://{own}")[0] == 200
    assert send(taking, b"a", Origin="https://elsewhere.example")[0] == 403
    assert send(taking, b"a", Origin="null")[0] == 403
    assert send(taking, b"a", Host="elsewhere.example")[0] == 421
