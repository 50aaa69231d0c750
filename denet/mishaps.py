"""What the world around the program can do to it, told in one line: disks, names, memory, pipes.

Readers name what they read (`denet.reading`); what gets past them comes here, at the edge of a
command. An exception that is not in here is a defect of the program.
"""

from __future__ import annotations

NUL = "embedded null"
"""How Python's own refusals of a path with a NUL begin."""


def why_outside(error: BaseException) -> str | None:
    """What happened and what to do, if the outside caused `error`; None if the program did."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        named = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([*named[:1], reason])
    if isinstance(error, UnicodeError):
        return f"{_refused(error)}: not UTF-8: rename what is called so, or save it as UTF-8"
    if is_out_of_memory(error):
        return "there is not enough memory for this: take a smaller batch or smaller sizes"
    if isinstance(error, RecursionError):
        return "something that was read is nested too deep"
    if isinstance(error, ValueError) and str(error).startswith(NUL):
        return "a name has the character NUL in it: no file can be called so"
    return None


def _refused(error: UnicodeError) -> str:
    refused = getattr(error, "object", "a text")
    return ascii(refused[:80])


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there is not enough memory, which PyTorch and ONNX Runtime tell by RuntimeErrors."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "allocate memory" in text or "bad_alloc" in text
    )
