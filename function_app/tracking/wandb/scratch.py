"""Temporary files: one directory for each process, which goes with it; or with the next one, if the process was killed."""

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
    """This process's own directory; made at the first call, with those removed that killed processes have left."""
    directory = _own()
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


if sys.platform == "win32":  # without locks, so that a leftover is not told from a directory in use

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
        """Hold the directory's lock, which the system takes back when the process ends, however it ends.

        False if somebody's sweep was faster: between making and locking, the directory passes for a leftover.
        """
        try:
            fcntl.flock(_opened(directory), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, BlockingIOError):
            return False
        except OSError:  # no locks on this file system: then nobody can sweep there either
            return True
        return directory.exists()

    def _sweep(root: Path) -> None:
        """Remove the leftovers of this user: those whose lock nobody holds. A process's number would not say so: in another
        container it is another's.
        """
        for directory in root.glob(f"{_PREFIX}*"):
            try:
                descriptor = _opened(directory)
            except OSError:  # gone, no directory, or not ours to read
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
