"""Runs `denet` and Python scripts in forks of one process, which has imported everything already.

    python -m tests.docs.server SOCKET fast|full

The documentation has some 60 commands, and torch takes four seconds to import. A command is a fork
with the folder and the standard streams of who asks. Computing begins in the fork, so each makes
the thread pools that it wants, as a process of its own does.

In `fast`, what `tests.docs.sizes.SLOW` lists is not run; its arguments are only read.
"""

from __future__ import annotations

import io
import json
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

CLIENT = """
import array, json, os, socket, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    asked = json.dumps([os.getcwd(), *sys.argv[2:]]).encode()
    socket.send_fds(server, [asked], [0, 1, 2])
    code = server.recv(8)
sys.exit(int(code) if code else "the command died")
"""


def serve(path: str, fast: bool) -> None:
    import calibration  # noqa: F401
    import denet.evaluate
    import denet.train  # noqa: F401
    import export  # noqa: F401
    from runtime import node  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody has to wait for a fork
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                answer(connection, fast)
            connection.close()


def answer(connection: socket.socket, fast: bool) -> None:
    """Run what is asked for, in this process, and end it."""
    asked, streams, _, _ = socket.recv_fds(connection, 65536, 3)
    folder, command, *arguments = json.loads(asked)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    code = 1
    try:
        code = run(command, arguments, fast)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    os._exit(0)


def run(command: str, arguments: list[str], fast: bool) -> int:
    from tests.docs.sizes import is_slow

    only_read = fast and is_slow(f"{command} {shlex.join(arguments)}")
    try:
        if command == "denet":
            sys.argv = ["denet", *arguments]
            read_by_denet() if only_read else run_denet()
        elif only_read:
            read_by_script(arguments)
        else:
            run_script(arguments)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    return 0


def run_denet() -> None:
    from cli import app

    app()


def read_by_denet() -> None:
    """See that there is such a command, and that it takes these arguments."""
    from typer.core import TyperCommand

    def nothing(self: Any, context: Any) -> None:
        pass

    with patch.object(TyperCommand, "invoke", nothing):
        run_denet()


def run_script(arguments: list[str]) -> None:
    script, *rest = arguments
    sys.argv = [script, *rest]
    sys.path.insert(0, str(Path(script).resolve().parent))
    runpy.run_path(script, run_name="__main__")


def read_by_script(arguments: list[str]) -> None:
    """See that there is such a script, and that its help names these options."""
    script, *rest = arguments
    if not script.startswith("measurements/"):
        compile(Path(script).read_text(), script, "exec")
        return
    shown = io.StringIO()
    try:
        with redirect_stdout(shown):
            run_script([script, "--help"])
    except SystemExit as ended:
        if ended.code:
            raise
    for option in (a for a in rest if a.startswith("--")):
        if not re.search(rf"{option}\b", shown.getvalue()):
            raise SystemExit(f"{script} has no option {option}")


class Server:
    """The process, and a folder of commands that ask it."""

    def __init__(self, folder: Path, root: Path, fast: bool) -> None:
        self.commands = folder / "bin"
        self.commands.mkdir(parents=True)
        address = folder / "socket"
        (folder / "client.py").write_text(CLIENT)
        ask = f"exec {sys.executable} -S -E {folder / 'client.py'} {address}"
        self._script("denet", f'{ask} denet "$@"')
        self._script("python", f'{ask} python "$@"')
        self._script("make", f'exec $(PATH=$REST command -v make) -n -C {root} "$@" > /dev/null')
        self._script("pip", "case $1 in install) ;; *) exit 1;; esac")
        environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "80"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.docs.server", address, "fast" if fast else "full"],
            env=environment,
            cwd=root,
            start_new_session=True,
        )

    def _script(self, name: str, text: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def wait(self) -> None:
        """Until it listens."""
        import time

        address = self.commands.parent / "socket"
        while not address.exists():
            assert self._process.poll() is None, "the server died"
            time.sleep(0.05)

    def close(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] == "fast")
