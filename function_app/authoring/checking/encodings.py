"""Recognize files that are not JSONL, or are for another trainer, so that they get one message with the remedy instead of an
error for each line.
"""

import csv
import json

from function_app.data.fields import parsed
from function_app.data.training.formats import SPECS
from function_app.data.training.jsonl import BOM

_MAGIC = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it with `gunzip`"),
    (
        b"PK\x03\x04",
        "is a ZIP archive or an Excel workbook: unpack it, or export it as JSON with one object on each line",
    ),
    (b"BZh", "is compressed with bzip2: unpack it with `bunzip2`"),
    (b"\xfd7zXZ", "is compressed with xz: unpack it with `unxz`"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it with `unzstd`"),
    (b"PAR1", "is a Parquet file: export it as JSONL, with pandas `to_json(orient='records', lines=True)`"),
    (b"%PDF", "is a PDF"),
)
_CHATS = "write each as messages with role and content"
_OTHER_TRAINERS = (
    (frozenset({"conversations"}), f"ShareGPT examples (conversations with from and value): {_CHATS}"),
    (frozenset({"instruction", "output"}), f"Alpaca examples (instruction, input, output): {_CHATS}"),
    (frozenset({"contents"}), f"Gemini examples (contents with parts): {_CHATS}"),
    (
        frozenset({"chosen", "rejected"}),
        "pairs of chosen and rejected: write each as an input with messages, a preferred_output and a non_preferred_output",
    ),
)
"""The keys of examples of other trainers, and what to do."""
_UTF32 = (b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def not_jsonl(head: bytes) -> str | None:
    """Describe a file that is not JSONL, with the remedy. Return None for a file that may be JSONL.

    Args:
        head: the first 64 KiB of the file, or the whole file.
    """
    if not head.removeprefix(BOM).strip():
        return "is empty: write one example on each line, as a JSON object"
    for magic, message in _MAGIC:
        if head.startswith(magic):
            return message
    if head.startswith(_UTF32):
        return "is UTF-32: save it as UTF-8"
    if head.startswith(_UTF16) or _is_utf16_without_mark(head):
        return "is UTF-16: save it as UTF-8, in PowerShell with `Set-Content -Encoding utf8`"
    if _is_legacy_text(head):
        return "is not UTF-8 but an older encoding such as Windows-1252: save it as UTF-8"
    text = head.removeprefix(BOM).lstrip().decode("utf-8", "replace")
    if text.startswith("```"):
        return "begins with a Markdown fence (```): remove the lines that are not JSON"
    if _is_mostly_objects(text):
        return None
    return "is binary, not text" if b"\0" in head[:4096] else _other_text(text)


def of_another_trainer(head: bytes) -> str | None:
    """Describe the format of a file whose examples are mostly of another trainer, with the remedy; None for other files.

    Args:
        head: the first 64 KiB of the file, or the whole file.
    """
    examples = [each for line in head.removeprefix(BOM).split(b"\n") if isinstance(each := parsed(line), dict)]
    unknown = [each for each in examples if not any(spec.recognizes(each) for spec in SPECS.values())]
    for keys, message in _OTHER_TRAINERS:
        if sum(keys <= each.keys() for each in unknown) * 2 > len(examples):
            return f"has {message}"
    return None


def _is_mostly_objects(text: str) -> bool:
    """Return whether most lines after the first are JSON objects, so only the others are wrong."""
    others = [line for line in text.split("\n")[1:] if line.strip()]
    return sum(_is_json(line, dict) for line in others) * 2 > len(others)


def _is_legacy_text(head: bytes) -> bool:
    """Return whether several lines are not UTF-8, and the valid lines contain only ASCII."""
    others = [line for line in head.split(b"\n")[:-1] if not line.isascii()]
    return len(others) > 1 and not any(_is_utf8(line) for line in others)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_utf16_without_mark(head: bytes) -> bool:
    start = head[:200]
    return start[:2] in (b"{\0", b"[\0", b"\0{", b"\0[") or (
        len(start) >= 8 and (not any(start[1::2]) or not any(start[0::2])) and any(start)
    )


def _other_text(text: str) -> str | None:
    first = text.split("\n", 1)[0].strip()
    if (first.startswith("[") and not _is_json(first)) or _is_array_of_objects(first):
        return "is a JSON array: write each of its elements on a line, with `jq -c '.[]'`"
    if first.startswith("{"):
        return _almost_json(first)
    if first.startswith("version https://git-lfs"):
        return "is a pointer of Git LFS: fetch the file with `git lfs pull`"
    if first.startswith("<"):
        return "is HTML or XML"
    if first.startswith("---") or first.split(":")[0] in ("messages", "- messages"):
        return "is YAML: convert it to JSON with one object on each line"
    return _table(text, first)


def _almost_json(first: str) -> str | None:
    """Recognize common deviations from one object on each line; None if the first line may be an object."""
    if first == "{":
        return "is JSON spread over several lines: write each object on one line, with `jq -c .`"
    if first.startswith(("{'", "{ '")):
        return "has Python dictionaries instead of JSON: write each example with `json.dumps`"
    try:
        _, end = json.JSONDecoder().raw_decode(first)
    except (ValueError, RecursionError):
        return None
    rest = first[end:].strip()
    if rest == ",":
        return "has a comma at the end of the lines: remove them"
    if rest.startswith("{"):
        return "has several objects on a line: write each on a line, with `jq -c .`"
    return None


def _is_array_of_objects(first: str) -> bool:
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _is_json(text: str, kind: type = object) -> bool:
    try:
        return isinstance(json.loads(text), kind)
    except (ValueError, RecursionError):
        return False


def _table(text: str, first: str) -> str | None:
    """Recognize CSV and TSV: a header of short names, followed by lines with the same number of cells."""
    for separator, name in ((",", "CSV"), ("\t", "TSV"), (";", "CSV")):
        names = next(csv.reader([first], delimiter=separator), [])
        if len(names) > 1 and all(0 < len(each.strip()) <= 40 and "{" not in each for each in names):
            others = [line for line in text.splitlines()[1:20] if not line.startswith("{")]
            rows = csv.reader(others, delimiter=separator)
            if any(len(row) == len(names) for row in rows):
                return f"is {name}: convert each row to a JSON object with messages"
    return None
