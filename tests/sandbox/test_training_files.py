"""Generated training files: every format, the same each time, with the size that is announced."""

import json
from typing import Any, get_args

import pytest

from sandbox.azure.openai.training_files import FileScript, Format, TrainingFile

FORMATS = get_args(Format)


def made(**fields: Any) -> bytes:
    return b"".join(TrainingFile(FileScript.model_validate({"id": "file-1"} | fields), 0.0).content())


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_description_makes_the_same_bytes_and_their_number_is_known(name: str) -> None:
    file = TrainingFile(FileScript.model_validate({"id": "file-1", "format": name, "count": 400}), 0.0)
    content = b"".join(file.content())
    assert len(content) == file.size
    assert content == made(format=name, count=400)
    assert content != made(format=name, count=400, seed=1)
    assert len(set(content.splitlines())) > 300


def test_so_many_lines_are_malformed_and_the_rest_are_not() -> None:
    def is_example(line: bytes) -> bool:
        try:
            return isinstance(json.loads(line), dict)
        except ValueError:
            return False

    lines = made(count=50, malformed=7).splitlines()
    assert len(lines) == 50
    assert sum(not is_example(line) for line in lines) == 7
