"""Make text from outside harmless where it leaves this program: on terminals, in logs and in notifications. Pure."""

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, ESC and line breaks among them
    "\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # invisible ones, and those that turn the direction of text
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which are invisible too
    "\ud800-\udfff]"  # halves of characters, which cannot be encoded
)
_MENTION = re.compile(r"<(?=[!@#])|(?<![\w.])@(?=(?:here|channel|everyone|all)\b)", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return a text without control, invisible and direction characters; a space stands in place of each line break or tab."""
    return _UNSAFE.sub(lambda found: " " if found[0] in "\n\r\t\x0b\x0c\x85\u2028\u2029" else "", text)


def lines(text: str) -> str:
    """Return the same for a text of several lines, whose line feeds stay."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def without_mentions(text: str) -> str:
    """Return a text that notifies nobody in a chat to which a notification goes, such as `<!channel>` and `@here`."""
    return _MENTION.sub(lambda found: f"{found[0]}\u2060", text)


def file_name(name: str, default: str) -> str:
    """Return a name from outside as a plain file name: no folder, no drive, only letters, digits, spaces and `._-`.

    Args:
        name: such as `train.jsonl`, `C:\\data\\train.jsonl` or `../../etc/passwd`.
        default: what to use where nothing is left, or where the name is one of W&B's own or of our tables.
    """
    plain = re.sub(r"[^\w .-]", "_", one_line(re.split(r"[/\\:]", name)[-1]), flags=re.ASCII).strip(" .")[-100:]
    if (
        not re.search(r"[A-Za-z0-9]", plain)
        or plain.lower().endswith(".table.json")
        or plain.lower().startswith("wandb")
    ):
        return default
    return plain
