"""Faster imports."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Import modules in the block without garbage collection, and exclude what they created from later collections.

    The SDKs create hundreds of thousands of objects that live as long as the process. To search them again and again,
    even when the process exits, takes as long as the imports themselves. Do not use this in a process that belongs to
    the caller, because it changes the whole interpreter.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
