"""What is told to a web server, in whatever pieces it comes."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.node.web import Answer, Request, WebServer, server

TEXT = "text/plain"


@pytest.fixture(scope="module")
def told() -> Iterator[tuple[WebServer, list[Request]]]:
    heard: list[Request] = []

    def handle(request: Request) -> Answer:
        heard.append(request)
        return Answer(200, TEXT, request.body[::-1])

    made = WebServer("test", "127.0.0.1", 0, lambda _path: Answer(404, TEXT, b""), None, handle)
    made.start()
    yield made, heard
    made.close()


def sent(web: WebServer, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", web.port), 10) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            stream.sendall(piece)
        got = b""
        while part := stream.recv(1 << 16):
            got += part
    return got


def post(body: bytes, length: str | None = None) -> bytes:
    size = str(len(body)) if length is None else length
    return (
        b"POST /a?b HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
        + size.encode()
        + (b"\r\nX-One: two\r\n\r\n" + body)
    )


@settings(deadline=None, max_examples=20)
@given(body=st.binary(max_size=300), cuts=st.lists(st.integers(1, 400), max_size=4))
def test_a_body_arrives_as_a_whole(
    told: tuple[WebServer, list[Request]], body: bytes, cuts: list[int]
) -> None:
    web, heard = told
    request = post(body)
    edges = [0, *sorted(min(cut, len(request)) for cut in cuts), len(request)]
    pieces = [request[a:b] for a, b in itertools.pairwise(edges) if b > a]
    got = sent(web, *pieces)
    assert got.startswith(b"HTTP/1.0 200")
    assert got.partition(b"\r\n\r\n")[2] == body[::-1]
    assert (heard[-1].method, heard[-1].path, heard[-1].body) == ("POST", "/a", body)
    assert heard[-1].headers["x-one"] == "two"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b"", str(server.LARGEST_BODY + 1)), b"413"),
        (post(b"", "x"), b"411"),
        (post(b"", "-1"), b"411"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (post(b"abc").replace(b"localhost", b"elsewhere.example"), b"421"),
    ],
)
def test_what_is_no_request_is_not_heard(
    told: tuple[WebServer, list[Request]], request_: bytes, status: bytes
) -> None:
    web, heard = told
    before = len(heard)
    assert sent(web, request_).split()[1] == status
    assert len(heard) == before


def test_a_page_that_is_only_read_takes_nothing() -> None:
    web = WebServer("test", "127.0.0.1", 0, lambda _path: Answer(200, TEXT, b"here"))
    web.start()
    try:
        assert sent(web, post(b"abc")).split()[1] == b"501"
    finally:
        web.close()
