"""A network camera on loopback: GStreamer's RTSP server, which can freeze, die and change size."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.runtime.node.broker import free_port


def system_python(*modules: str) -> str:
    """A Python that has PyGObject and these GStreamer modules; skips where there is none."""
    wanted = "".join(f"gi.require_version({m!r}, '1.0')\n" for m in modules)
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", f"import gi\n{wanted}"], capture_output=True, timeout=60, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python
    pytest.skip(f"no PyGObject with {', '.join(modules)}: apt install python3-gi gir1.2-gst-*")


SERVER = """
import os, sys, threading
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer

port, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
Gst.init(None)
rows = [bytes(40 + 150 * y // height + (b & 15) for b in range(256)) for y in range(height)]
shown = frozen = None

def push(source):
    # Noise in the light, a new one each time, over a scene that is brighter below.
    global shown
    if not frozen or not shown:
        noise = b"".join(os.urandom(width).translate(row) for row in rows)
        shown = noise + bytes([128]) * (width * height // 2)
    source.emit("push-buffer", Gst.Buffer.new_wrapped(shown))
    return True

def configure(_factory, media):
    tick = GLib.timeout_add(40, push, media.get_element().get_by_name("source"))
    media.connect("unprepared", lambda *_: GLib.source_remove(tick))

def listen():
    global frozen
    for line in sys.stdin:
        frozen = line.strip() == "freeze"

server, factory = GstRtspServer.RTSPServer(), GstRtspServer.RTSPMediaFactory()
server.set_address("127.0.0.1")
server.set_service(port)
factory.set_launch(
    "( appsrc name=source is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=I420,width={width},height={height},framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast pass=quant quantizer=18 key-int-max=25 "
    "! rtph264pay name=pay0 pt=96 )"
)
factory.connect("media-configure", configure)
factory.set_shared(True)
server.get_mount_points().add_factory("/live", factory)
assert server.attach(None)
assert Gst.ElementFactory.find("x264enc")
threading.Thread(target=listen, daemon=True).start()
print("ready", flush=True)
GLib.MainLoop().run()
"""


class RtspCamera:
    """A camera on loopback that can be killed, frozen, and come back with another size."""

    def __init__(self, python: str) -> None:
        self.python = python
        self.port = free_port()
        self.url = f"rtsp://user:secret@127.0.0.1:{self.port}/live"

    def start(self, width: int = 160, height: int = 120) -> None:
        command = [self.python, "-c", SERVER, str(self.port), str(width), str(height)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            assert self.process.stderr is not None
            pytest.skip(f"no RTSP server: {self.process.stderr.read().strip()[-200:]}")

    def tell(self, what: str) -> None:
        assert self.process.stdin is not None
        print(what, file=self.process.stdin, flush=True)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()
