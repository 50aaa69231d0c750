"""A Chromium that is told what to do, through pipes (--remote-debugging-pipe)."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium")

QUIET = (
    *("--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-quic"),
)

DROP = """
(async () => {
  const binary = atob(%s);
  const bytes = Uint8Array.from(binary, (each) => each.charCodeAt(0));
  const moved = new DataTransfer();
  moved.items.add(new File([bytes], "a.jpg", { type: "image/jpeg" }));
  const zone = document.querySelector(%s);
  const facts = { dataTransfer: moved, bubbles: true, cancelable: true };
  zone.dispatchEvent(new DragEvent("drop", facts));
})()
"""


class Browser:
    """One page of it.

    Attributes:
        console: what the page has complained of.

    Args:
        folder: for its profile.
        size: of the window, in pixels.
        dark: show it so.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int] = (1200, 1000), *, dark: bool = False
    ) -> None:
        assert CHROMIUM is not None
        theirs, self._to = os.pipe()
        self._from, back = os.pipe()
        arguments = [CHROMIUM, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={folder}"]
        arguments.append(f"--window-size={size[0]},{size[1]}")
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        if dark:
            arguments.append("--blink-settings=preferredColorScheme=0")
        # It reads from 3 and writes to 4.
        shell = f'exec 3<&{theirs} 4>&{back}; exec "$@"'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", shell, "bash", *arguments],
            pass_fds=(theirs, back),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(back)
        self._buffer, self._number, self._session = b"", 0, ""
        self.console: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Go there."""
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What a script on the page gives, when its promise is kept."""
        got = self._ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in got, got
        return got["result"].get("value")

    def drop(self, selector: str, picture: bytes) -> None:
        """Drop a picture on an element."""
        data = json.dumps(base64.b64encode(picture).decode())
        self.run(DROP % (data, json.dumps(selector)))

    def until(self, script: str, seconds: float = 60.0) -> Any:
        """Wait until a script gives something that is true; what it gives."""
        end = time.monotonic() + seconds
        while not (found := self.run(script)):
            assert time.monotonic() < end, (script, self.run("document.body.innerText"))
            time.sleep(0.1)
        return found

    def picture(self, path: Path) -> None:
        """Write down what it shows, the whole page, as PNG."""
        got = self._ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(got["data"]))

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def _ask(self, method: str, **values: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            got = self._next()
            if got.get("id") == self._number:
                assert "error" not in got, (method, got)
                return dict(got["result"])
            self._note(got)

    def _note(self, event: dict[str, Any]) -> None:
        facts = event.get("params", {})
        if event.get("method") == "Log.entryAdded":
            self.console.append(facts["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.console.append(json.dumps(facts["exceptionDetails"]))
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.console.append(json.dumps(facts["args"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._from, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))
