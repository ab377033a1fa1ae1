"""Make text from outside safe for output on terminals, in logs and in notifications, and write amounts and durations. Pure."""

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, including ESC and line breaks
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u3164"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"  # invisible characters, and those that change text direction
    "\ufff9-\ufffb\U000e0000-\U000e007f"  # annotations and tags, which are invisible, too
    "\ud800-\udfff]"  # halves of surrogate pairs, which cannot be encoded
)
_MENTION = re.compile(r"<(?=[!@#]|[a-z]{2,8}:)|(?<![\w.])@(?=(?:here|channel|everyone|all)\b)", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return a text without control, invisible and direction characters. Line breaks and tabs become spaces."""
    return _UNSAFE.sub(lambda found: " " if found[0] in "\n\r\t\x0b\x0c\x85\u2028\u2029" else "", text)


def lines(text: str) -> str:
    """Return the same for a text of several lines, and keep its line feeds."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def excerpt(text: str) -> str:
    """Return at most 200 characters of a service's text, for a message: one line of printable characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:200].strip()


def without_mentions(text: str) -> str:
    """Return a text without mentions, such as `<!channel>` and `@here`, that would notify people in a chat, and without links
    under other words, such as `<https://host|words>`.
    """
    return _MENTION.sub(lambda found: f"{found[0]}\u2060", text)


def money(amount: float, *, about: bool = False) -> str:
    """Return an amount with two digits, of a currency that people know. `about` is for an estimate."""
    if 0 < amount < 0.01:
        return "less than 0.01"
    return f"{'about ' * about}{amount:,.2f}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, as in 0.5 s, 40 s, 10 min or 1 h 19 min."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    while not units[0][0]:
        units.pop(0)
    return " ".join(f"{count} {unit}" for count, unit in units[:2] if count)
