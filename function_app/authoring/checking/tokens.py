"""The number of tokens of a text: counted by OpenAI's tiktoken if it is installed, otherwise estimated."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from function_app.data.training.formats import SPECS, Format
from function_app.errors import SyncError, first_line
from function_app.text import duration

TOKENS_PER_MESSAGE = 3
TOKENS_PER_EXAMPLE = 3
"""The tokens of a chat in addition to its texts (OpenAI cookbook, How to count tokens with tiktoken)."""

_NEWEST = "o200k_base"  # the vocabulary of gpt-4o and all later models
_PATIENCE = 20.0  # seconds to fetch the vocabulary, for which tiktoken has no limit
_BYTES_PER_TOKEN = (
    4  # for English (OpenAI, What are tokens and how to count them); measured for Chinese and German, too
)


@dataclass(frozen=True)
class Tokenizer:
    """Counts a text's tokens.

    Attributes:
        name: the vocabulary, or "estimate".
        exact: whether it counts tokens; an estimate only gives the order of magnitude.
        note: why it only estimates; empty if it counts.
    """

    name: str
    exact: bool
    count: Callable[[str], int]
    note: str = ""


class TokenizerError(SyncError):
    """tiktoken or its vocabulary is not available."""


def exact_tokenizer(
    model: str | None, *, load: Callable[[str], Any] | None = None, patience: float = _PATIENCE
) -> Tokenizer:
    """Return a tokenizer with the model's vocabulary, or with the newest one for an unknown model or none.

    The vocabulary is a file of some megabytes that tiktoken fetches from OpenAI once and keeps in TIKTOKEN_CACHE_DIR.
    The text itself is sent nowhere.

    Args:
        load: returns the encoding for a vocabulary's name; None for tiktoken's function.
        patience: the time limit for loading, in seconds.

    Raises:
        TokenizerError: tiktoken is not installed, or its vocabulary is not available.
    """
    try:
        import tiktoken
    except ImportError:
        raise TokenizerError(
            "tiktoken is not installed.",
            "Install the extra: pip install 'azure-openai-wandb[tokens]', or use --tokenizer estimate.",
        ) from None
    try:
        name = tiktoken.encoding_name_for_model(model) if model else _NEWEST
    except KeyError:
        name = _NEWEST
    make = load or tiktoken.get_encoding
    encoding = _within(patience, lambda: make(name))
    return Tokenizer(f"tiktoken {name}", exact=True, count=lambda text: len(encoding.encode_ordinary(text)))


def tokenizer_for(choice: str, model: str | None) -> Tokenizer:
    """Return the tokenizer of an option.

    Args:
        choice: tiktoken, estimate, or auto: tiktoken if it and its vocabulary are there, else an estimate that says why not.
        model: selects the vocabulary; None for the newest.

    Raises:
        TokenizerError: tiktoken was chosen and cannot be used.
    """
    if choice == "estimate":
        return estimating_tokenizer()
    try:
        return exact_tokenizer(model)
    except TokenizerError as error:
        if choice == "tiktoken":
            raise
        return estimating_tokenizer(error.message.rstrip("."))


def estimating_tokenizer(note: str = "") -> Tokenizer:
    """Return a tokenizer that counts one token for four bytes of UTF-8.

    Compared with o200k_base it is within a quarter for prose, too high for Cyrillic, and too low for code.
    """
    return Tokenizer("estimate", exact=False, count=_estimate, note=note)


def tokens_of(example: Mapping[str, Any], file_format: Format, tokenizer: Tokenizer) -> int:
    """Count an example's tokens: all its texts, its tools as JSON, and the overhead of messages. Images are not counted.

    Raises:
        NotAnExampleError: the example has no messages where its format requires them.
    """
    spec = SPECS[file_format]
    messages, tools = spec.messages(example), spec.tools(example)
    texts = [text for message in messages for text in _texts(message)]
    if tools:
        texts.append(json.dumps(tools, ensure_ascii=False))
    chat = sum("role" in message for message in messages)
    overhead = TOKENS_PER_MESSAGE * chat + TOKENS_PER_EXAMPLE if chat else 0
    return sum(map(tokenizer.count, texts)) + overhead


def expected_epochs(examples: int) -> int:
    """Return the expected number of epochs if none is chosen: three, but more for few examples and fewer for many
    (OpenAI cookbook, Data preparation for chat fine-tuning). The service decides; Azure's rule is not published.
    """
    if examples <= 0:
        return 1
    if examples * 3 < 100:
        return min(25, max(1, 100 // examples))
    if examples * 3 > 25_000:
        return max(1, 25_000 // examples)
    return 3


def _estimate(text: str) -> int:
    return -(-len(text.encode(errors="replace")) // _BYTES_PER_TOKEN)


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for name in ("role", "name", "content", "refusal"):
        yield from _text(message.get(name))
    calls = message.get("tool_calls") or message.get("function_call")
    if calls:
        yield json.dumps(calls, ensure_ascii=False)


def _text(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [part["text"] for part in value if isinstance(part, dict) and isinstance(part.get("text"), str)]
    return []


def _within(seconds: float, load: Callable[[], Any]) -> Any:
    """Load within a time limit. Without it, a firewall that drops packets would block the command for minutes."""
    answer: list[Any] = []
    failure: list[Exception] = []

    def try_it() -> None:
        try:
            answer.append(load())
        except (OSError, ValueError) as error:  # requests' errors are OSErrors; a damaged file is a ValueError
            failure.append(error)

    thread = threading.Thread(target=try_it, daemon=True)
    thread.start()
    thread.join(seconds)
    if answer:
        return answer[0]
    why = f"({first_line(failure[0])})" if failure else f"within {duration(seconds)}"
    raise TokenizerError(
        f"tiktoken's vocabulary could not be fetched from the internet {why}.",
        "It is needed once: allow the connection, or set TIKTOKEN_CACHE_DIR to a folder that already contains it.",
    )
