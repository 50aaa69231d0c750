"""A headless Chromium that is told what to do over a pipe, by the DevTools protocol."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")

PATIENCE = 60.0
"""Seconds for what a page is to show."""


class Browser:
    """One page."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_read, to_write = os.pipe(), os.pipe()
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        quiet = ["--disable-gpu", "--no-first-run", "--disable-background-networking"]
        more = ["--disable-component-update", "--disable-sync", "--disable-quic"]

        def pipes() -> None:  # the protocol is spoken over 3 and 4
            fds = os.dup(to_read[0]), os.dup(to_write[1])
            os.dup2(fds[0], 3)
            os.dup2(fds[1], 4)

        self._process = subprocess.Popen(
            [CHROMIUM, "--headless", *root, *quiet, *more, "--remote-debugging-pipe",
             "--window-size=1300,1000", f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=pipes,
            close_fds=False,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read[0])
        os.close(to_write[1])
        self._out = os.fdopen(to_read[1], "wb", buffering=0)
        self._in = os.fdopen(to_write[0], "rb", buffering=0)
        self._rest = b""
        self._numbers = itertools.count(1)
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def call(self, method: str, **given: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            while b"\0" not in self._rest:
                part = self._in.read(1 << 16)
                assert part, "the browser has ended"
                self._rest += part
            text, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(text)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def evaluate(self, script: str) -> Any:
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def wait(self, shown: Callable[[], Any]) -> Any:
        end = time.monotonic() + PATIENCE
        while not (found := shown()):
            assert time.monotonic() < end, "it is never shown"
            time.sleep(0.05)
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._out.close()
        self._in.close()
