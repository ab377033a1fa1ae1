"""How many training files a process reads at once, however many jobs it has."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from function_app.azure.openai import Account
from function_app.errors import NotThereError
from function_app.models import DatasetPolicy, File
from function_app.tracking.wandb.versioned.files import READ_AT_ONCE, dataset_artifact

EXAMPLE = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'


class Counting(Account):
    """An account that notes how many of its files are read at once; the first ones wait for each other."""

    def __init__(self) -> None:
        self.name = "aoai-ml"
        self.most = self._open = 0
        self._lock = threading.Lock()
        self._all_there = threading.Barrier(READ_AT_ONCE)

    def file(self, file_id: str) -> File:
        return File(file_id, f"{file_id}.jsonl")

    @contextmanager
    def content(self, file_id: str) -> Iterator[Iterator[bytes]]:
        with self._lock:
            self._open += 1
            self.most = max(self.most, self._open)
        self._all_there.wait(timeout=30)
        try:
            if file_id.startswith("gone"):
                raise NotThereError("It was deleted.")
            yield iter([EXAMPLE])
        finally:
            with self._lock:
                self._open -= 1


def test_concurrent_reads_of_files_are_limited(tmp_path: Path) -> None:
    """Half of them cannot be read, which must not block the others."""
    account = Counting()

    def read(name: str) -> str:
        directory = tmp_path / name
        directory.mkdir()
        try:
            return dataset_artifact(account, name, DatasetPolicy.FULL, directory, name).name
        except NotThereError:
            return "gone"

    names = [f"{kind}-{number}" for number in range(READ_AT_ONCE) for kind in ("file", "gone")]
    with ThreadPoolExecutor(len(names)) as pool:
        read_names = list(pool.map(read, names))
    assert account.most == READ_AT_ONCE
    assert read_names == ["gone" if name.startswith("gone") else name for name in names]
