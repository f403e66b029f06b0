"""Writes pieces of messages: a quoted value, a list of words, a count, a suggestion for a misspelt word."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_QUOTED_CHARACTERS = 60  # enough to recognise the value; more would bury the message
_JOINED_WORDS = 12  # no fixed list is longer; only a file's own meters can be more
_COMPARED_CHARACTERS = 128  # the longest name that is valid anywhere
_COMPARED_WORDS = 200  # for one unknown word, comparing this many takes about 2 ms


def quoted(text: str) -> str:
    """Return ``text`` in quotes, on one line and cut short if it is long."""
    if len(text) > _QUOTED_CHARACTERS:
        text = text[: _QUOTED_CHARACTERS - 3] + "..."
    return repr(text)


def joined(words: Iterable[str]) -> str:
    """Return ``words`` separated by commas, cut short if there are many."""
    all_words = list(words)
    more = ["..."] if len(all_words) > _JOINED_WORDS else []
    return ", ".join(all_words[:_JOINED_WORDS] + more)


def format_count(count: int, noun: str) -> str:
    """Return a count with its noun, such as "2 deliveries"."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def describe_unknown(what: str, word: str, allowed: Iterable[str], otherwise: str) -> str:
    """Return the message for an unknown ``word``: the allowed word that it resembles, or ``otherwise``."""
    close = closest(word, allowed)
    hint = f"did you mean {quoted(close)}?" if close is not None else otherwise
    return f"unknown {what} {quoted(word)}; {hint}"


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that ``word`` most resembles, or None if it resembles none."""
    close = get_close_matches(word[:_COMPARED_CHARACTERS], islice(allowed, _COMPARED_WORDS), n=1)
    return close[0] if close else None
