"""Words that errors of settings, rules and commands share: a value as shown, a list, the closest name."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_SHOWN_CHARACTERS = 60  # enough to recognise what was written; longer would bury the message
_LISTED_WORDS = 12  # more than the format has of any kind; only meters can be more
_COMPARED_CHARACTERS = 128  # the longest name there can be
_COMPARED_WORDS = 200  # some 2 ms for each unknown word; nobody has that many meters


def quoted(text: str) -> str:
    """Return ``text`` in quotes, on one line and no longer than a glance takes."""
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 3] + "..."
    return repr(text)


def joined(words: Iterable[str]) -> str:
    """Return ``words`` as a list to read, cut short where it is long."""
    all_words = list(words)
    more = ["..."] if len(all_words) > _LISTED_WORDS else []
    return ", ".join(all_words[:_LISTED_WORDS] + more)


def describe_unknown(what: str, word: str, allowed: Iterable[str], otherwise: str) -> str:
    """Return what to say of a word not in ``allowed``: the one it resembles, else ``otherwise``."""
    close = closest(word, allowed)
    hint = f"did you mean {quoted(close)}?" if close is not None else otherwise
    return f"unknown {what} {quoted(word)}; {hint}"


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the one of ``allowed`` that ``word`` resembles, if any does."""
    close = get_close_matches(word[:_COMPARED_CHARACTERS], islice(allowed, _COMPARED_WORDS), n=1)
    return close[0] if close else None
