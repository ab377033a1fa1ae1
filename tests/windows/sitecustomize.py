"""Python imports this first: our modules then have no part of os, signal and socket that Windows lacks, nor POSIX's modules.

Other packages keep them, as they choose their code by the platform.
"""

import importlib.machinery
import os
import re
import signal
import socket
import sys
import types
from typing import Any

_OURS = ("provisioning", "function_app", "sandbox", "infra")
_LACKS = {
    os: "O_DIRECTORY O_NOFOLLOW chown fork getegid geteuid getgid getpgid getuid kill killpg mkfifo setsid sysconf uname",
    signal: "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGSTOP SIGUSR1 SIGUSR2 alarm pthread_sigmask setitimer",
    socket: "AF_UNIX",
    sys: "",
}
_IMPORT = re.compile(rb"^( *)import (os|signal|socket|sys)$", re.MULTILINE)
_POSIX = re.compile(
    rb"^( *)(?:import|from) (?:curses|fcntl|grp|pty|pwd|readline|resource|termios|tty)\b.*$", re.MULTILINE
)


class _Limited(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        module = sys.modules[self.__name__]
        if name in _LACKS[module].split():
            raise AttributeError(f"Windows has no {self.__name__}.{name}")
        return getattr(module, name)


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> types.CodeType:
        source = _IMPORT.sub(rb"\1from _windows import \2", self.get_data(self.path))
        return compile(_POSIX.sub(rb"\1raise ModuleNotFoundError", source), self.path, "exec", dont_inherit=True)


class _Finder:
    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        ours = name.partition(".")[0] in _OURS
        spec = importlib.machinery.PathFinder.find_spec(name, path, target) if ours else None
        if spec and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


windows = types.ModuleType("_windows")
windows.__dict__.update({module.__name__: _Limited(module.__name__) for module in _LACKS})
windows.__dict__["os"].name, windows.__dict__["sys"].platform = "nt", "win32"
sys.modules["_windows"] = windows
sys.meta_path.insert(0, _Finder)
