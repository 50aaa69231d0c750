"""Passwords in addresses."""

from __future__ import annotations

import threading

import msgspec
import pytest

from denet.secrets import redacted
from runtime.node.sources import (
    SourceError,
    SourceSettings,
    open_source,
)
from tests.deadline import deadline


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://admin:pass@10.0.0.1:554/s", "rtsp://***@10.0.0.1:554/s"),
        ("rtsp://admin:p@ss@cam/live", "rtsp://***@cam/live"),
        ("cannot open 'rtsp://u:p@cam': refused", "cannot open 'rtsp://***@cam': refused"),
        ("RTSPS://u:p/q@[::1]/a", "RTSPS://***@[::1]/a"),
        ("rtsp://u:a b'c\"d@cam/live: no data", "rtsp://***@cam/live: no data"),
        ("rtsp://u:p@a/1 and rtsp://u:p@b/2", "rtsp://***@a/1 and rtsp://***@b/2"),
        ("rtsp://cam/a\nsays me@home", "rtsp://cam/a\nsays me@home"),
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtspsrc location=rtsp://u:p@cam ! x", "rtspsrc location=rtsp://***@cam ! x"),
        ("admin:p@ss@cam/live is no source", "***@cam/live is no source"),
        ("http:/u:p@cam/x: no file", "***@cam/x: no file"),
        ("rtsp://cam/s?channel=1&token=abc#x", "rtsp://cam/s?channel=1&token=***#x"),
        ("rtsp://cam/user=a_password=b_channel=1.sdp", "rtsp://cam/user=***"),
        ('rtspsrc user-id=a user-pw="b c" latency=0', "rtspsrc user-id=*** user-pw=*** latency=0"),
        ('{"password": "b", "rate": 1}', '{"password": ***, "rate": 1}'),
        ("Authorization: Basic YTpi", "Authorization: ***"),
        ("refused Bearer abcdef123: no", "refused Bearer ***: no"),
        # What is no secret stays.
        ("--inject every=100;kinds=black: write KEY=VALUE", None),
        ("password_env: the variable X is not set", None),
        ("gallery.fmr: needs gallery.scores; without there is threshold, a cosine", None),
        ("events.mqtt.key: expected `str`, got `int`", None),
        ("sources.rgb: unknown key 'token'", None),
        ("/data/a:b@c.png: cannot be read: no such file", None),
    ],
)
def test_no_password_is_shown(text: str, shown: str | None) -> None:
    assert redacted(text) == (text if shown is None else shown)


def test_settings_and_sources_hide_the_password() -> None:
    pytest.importorskip("av")
    wanted = SourceSettings(url="rtsp://me:secret@127.0.0.1:1/live", timeout=0.5)
    source = open_source("rgb", wanted)
    with pytest.raises(SourceError, match="refused") as caught:
        next(source.frames(threading.Event()))
    assert "secret" not in f"{wanted!r} {source.name} {caught.value}"


@pytest.mark.parametrize("word", ["x", "a=", "a:b@", "key", "?a&", "'"])
def test_what_is_too_long_for_an_address_is_refused_at_once(word: str) -> None:
    """Looking for secrets in it takes a time that grows with the square of the length."""
    address = word * (70_000 // len(word))
    with deadline(10):
        for settings in ({"url": address}, {"url": "rtsp://a", "options": {"a": address}}):
            with pytest.raises(msgspec.ValidationError, match=r"70000|69999") as refused:
                msgspec.convert(settings, SourceSettings)
            assert len(redacted(str(refused.value))) < 200
