"""Ctrl-C and SIGTERM as one exception, raised once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked this process to end.

    Attributes:
        signal: its number.
        exit_code: what a shell reports of a process that it ended.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.signal = number
        self.exit_code = 128 + number


class Interruption:
    """Whether a signal arrived."""

    def __init__(self) -> None:
        self.arrived: Interrupted | None = None

    def check(self) -> None:
        """Raise what arrived, in case that Python has dropped it in a destructor.

        Raises:
            Interrupted: a signal arrived.
        """
        if self.arrived is not None:
            raise self.arrived


def let_children_die() -> None:
    """Once a run ends anyway, keep torch from raising an error for a data loader's process that
    dies: it does so from a signal handler, which is anywhere, such as in the printing of a message.
    """
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, lambda *_: None)


def begin_worker(_number: int) -> None:
    """In a process of a data loader: end with the run, and say nothing of a run that ends while a
    batch is taken from here."""
    # torch looks at the parent, which may be a fork server; that lives as long as this process.
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    hook = sys.excepthook

    def report(
        kind: type[BaseException], value: BaseException, trace: TracebackType | None
    ) -> None:
        if not issubclass(kind, (ConnectionError, EOFError)):
            hook(kind, value, trace)

    sys.excepthook = report


def _end_with_the_run() -> None:
    run = multiprocessing.parent_process()
    assert run is not None
    run.join()
    os._exit(1)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Raise `Interrupted` at the first SIGINT or SIGTERM, in the main thread.

    Then the process is expected to end: later signals are let pass, so that they do not disturb
    its end. Processes that are forked within do not raise; they end with their parent.
    """
    state = Interruption()
    owner = os.getpid()

    def arrive(number: int, _frame: FrameType | None) -> None:
        if os.getpid() != owner or state.arrived is not None:
            return
        let_children_die()
        state.arrived = Interrupted(number)
        raise state.arrived

    def unraisable(report: Any) -> None:
        if not isinstance(report.exc_value, Interrupted):
            hook(report)

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    before = {number: signal.signal(number, arrive) for number in SIGNALS}
    try:
        yield state
    except BaseException:
        state.check()  # where a signal arrived, other errors are only its consequence
        raise
    finally:
        if state.arrived is None:
            sys.unraisablehook = hook
            for number, handler in before.items():
                signal.signal(number, handler)
