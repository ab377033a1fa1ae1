"""Temporary files: one directory per process, removed when it exits, or by the next process if it was killed."""

import atexit
import functools
import os
import shutil
import sys
import tempfile
from pathlib import Path

_PREFIX = "finetune-sync-"


@functools.cache
def scratch() -> Path:
    """Return this process's directory. The first call creates it and removes the directories of killed processes."""
    directory = _own()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


if sys.platform == "win32":  # no locks here, so leftovers cannot be distinguished from directories in use

    def _own() -> Path:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))

else:
    import fcntl

    def _own() -> Path:
        _sweep(Path(tempfile.gettempdir()))
        while True:
            directory = Path(tempfile.mkdtemp(prefix=_PREFIX))
            if _holds(directory):
                return directory

    def _holds(directory: Path) -> bool:
        """Lock the directory. The system releases the lock when the process ends in any way.

        Return False if another process has removed the directory, which looks like a leftover before it is locked.
        """
        try:
            fcntl.flock(_opened(directory), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        except OSError:  # no locks on this file system, so no process removes leftovers there
            return True
        return directory.exists()

    def _sweep(root: Path) -> None:
        """Remove this user's leftovers whose locks are free. A process id is not sufficient, because it may belong to
        another process in another container.
        """
        for directory in root.glob(f"{_PREFIX}*"):
            try:
                descriptor = _opened(directory)
            except OSError:  # missing, not a directory, or not readable
                continue
            try:
                if os.fstat(descriptor).st_uid == os.getuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
            except OSError:  # in use
                continue
            finally:
                os.close(descriptor)

    def _opened(directory: Path) -> int:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
