"""Lines for a terminal that stands still."""

from __future__ import annotations

import threading

from runtime.node.printer import DEPTH, LinePrinter


def test_a_terminal_that_stands_still_keeps_nobody_waiting() -> None:
    go, told = threading.Event(), []

    def tell(line: str) -> None:
        go.wait(10.0)
        told.append(line)

    printer = LinePrinter(tell)
    for number in range(DEPTH + 10):
        printer(str(number))
    go.set()
    printer.close(10.0)
    assert told[-1] == str(DEPTH + 9)
    assert DEPTH <= len(told) <= DEPTH + 1
