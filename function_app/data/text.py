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
