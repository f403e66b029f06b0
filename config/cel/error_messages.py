"""Translates CEL's errors for people who write rules: what is wrong, where, and what to write instead."""

import re
from collections.abc import Collection

from config.wording import describe_unknown, quoted

_ERROR = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<words>[^\n]*)")
_OVERLOAD = re.compile(r"found no matching overload for '(?P<name>[^']+)' applied to '(?P<types>[^']*)'")
_RUN_OVERLOAD = re.compile(
    r"No matching overloads found : (?:\((?P<target>[^()]*)\)\.)?(?P<name>[^\s(]+)\((?P<types>[^)]*)\)"
)
_RUN_UNTYPED = re.compile(r"No matching overloads found : (?P<name>\S+)")
_UNDECLARED = re.compile(r"undeclared reference to '(?P<name>[^']+)'")
_UNEXPECTED = re.compile(r"(?:input|error at:) '(?P<found>.*?)'(?: expecting|$)")
_TOO_DEEP = re.compile(r"max recursion depth|recursion limit")
_CODE = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")

_KINDS = {
    "int64": "int", "uint64": "uint", "string": "text", "null_type": "null", "map": "object",
    "dyn": "any value", "google.protobuf.timestamp": "timestamp", "google.protobuf.duration": "duration",
}  # fmt: skip
_REPLACEMENTS = {
    "and": "&&", "or": "||", "not": "!", "is": "==", "=": "==", "=>": ">=", "<>": "!=", "&": "&&", "|": "||",
    "True": "true", "False": "false", "None": "null", "nil": "null",
    "len": "size(...)", "length": "size(...)", "include": "contains(...)", "includes": "contains(...)",
    "max": "a > b ? a : b", "min": "a < b ? a : b", "round": "int(...)", "floor": "int(...)",
}  # fmt: skip
_FUNCTIONS = (
    "int", "double", "string", "bool", "size", "has", "timestamp", "duration", "matches", "startsWith",
    "endsWith", "contains", "exists", "exists_one", "all", "filter", "map", "uint", "dyn",
)  # fmt: skip
_FORMS = (
    (re.compile(r"missing '(.)' at"), "a {} is missing"),
    (re.compile(r"reserved identifier: if"), "CEL has no if; write condition ? this : that"),
    (re.compile(r"reserved identifier: (\w+)"), "the word {} is reserved"),
    (re.compile(r"has\(\) argument"), "has(...) takes a field, as in has(order.discount)"),
    (re.compile(r"type '(\w+)' cannot be the operand of a select"), "a value of type {} has no fields"),
    (re.compile(r"invalid (\w+) literal"), "this {} is too large for CEL"),
)
_OPERAND_ERRORS = {  # for errors in which the library does not name the types
    "_&&_": "&& needs true or false on both sides",
    "_||_": "|| needs true or false on both sides",
    "!_": "! needs true or false after it",
    "@in": "in needs a list or an object after it",
    "<jump_condition>": "? needs true or false before it",
}
MALFORMED = {  # texts that are not what a function expects
    "to Timestamp conversion": "a text is not a time such as 2026-11-01T00:00:00Z",
    "to Duration conversion": "a text is not a duration such as 24h",
    "Invalid timezone": "a text is not a time zone such as Europe/Berlin",
    "invalid regular expression": "a text is not a pattern such as ^[a-z]+$",
}
_NUMBERS = {"int", "uint", "double"}
_NO_MIXING = (
    "; CEL does not mix integers and decimals: write `* 12 / 100` for `* 0.12`, "
    "or put double(...) around the integer and write decimals such as 100.0"
)


def explain_compile_error(text: str, error: str, names: Collection[str]) -> str:
    """Return why ``text`` does not compile: the first of CEL's errors, with its position."""
    found = _ERROR.search(error)
    if _TOO_DEEP.search(found["words"] if found else error):
        return "nested too deeply; `x in [...]` replaces a long chain of ||"
    if found is None:
        return _plain(error)
    lines = text.split("\n")
    line, column = int(found["line"]), int(found["column"])
    at = len("\n".join(lines[: line - 1])) + (line > 1) + column - 1
    where = f"line {line}, character {column}" if len(lines) > 1 else f"character {column}"
    return f"{_explain(found['words'], text, at, names)} (at {where} of the expression)"


def explain_evaluation_error(text: str, error: str) -> str:
    """Return why ``text`` has no value for a webhook; the webhook's own values are never repeated."""
    if overload := _RUN_OVERLOAD.search(error):
        target = [overload["target"]] if overload["target"] else []
        return _mismatch(overload["name"], [*target, *overload["types"].split(", ")])
    if untyped := _RUN_UNTYPED.search(error):
        return _OPERAND_ERRORS.get(untyped["name"], "the types do not match")
    if "Iteration budget" in error:
        return "it takes too many steps"
    if missing := re.search(r'Key not found in map : "?(.*?)"?$', error):
        return f"{quoted(missing[1])} is missing" if missing[1] in text else "a key is missing"
    if "Applying SELECT" in error:
        return "it looks up a field of a value that has no fields"
    return next((words for kind, words in MALFORMED.items() if kind in error), None) or _plain(error)


def involves_null(error: str) -> bool:
    """Return whether the types did not match because one of them is null."""
    overload = _RUN_OVERLOAD.search(error)
    return overload is not None and "null" in f"{overload['target']}, {overload['types']}"


def readable_type(name: str) -> str:
    """Return a readable name for one of CEL's types."""
    base = name.lower().partition("<")[0]
    return _KINDS.get(base, base)


def _explain(words: str, text: str, at: int, names: Collection[str]) -> str:
    if overload := _OVERLOAD.search(words):
        return _mismatch(overload["name"], overload["types"].strip("()").split(", "))
    if undeclared := _UNDECLARED.search(words):
        return _unknown(undeclared["name"].partition(".")[0], text, at, names)
    if unexpected := _UNEXPECTED.search(words):
        return _unexpected(words, unexpected["found"], text, at)
    matches = ((pattern.search(words), message) for pattern, message in _FORMS)
    found = (message.format(*match.groups()) for match, message in matches if match)
    return next(found, words.removeprefix("Syntax error: "))


def _unknown(name: str, text: str, at: int, names: Collection[str]) -> str:
    is_function = text[at : at + 1] == "("
    kind, known = ("function", _FUNCTIONS) if is_function else ("name", tuple(names))
    if replacement := _replacement(name):
        return f"unknown {kind} {quoted(name)}{replacement}"
    before = text[:at]
    if re.search(r"\w-$", before):
        return f"unknown name {quoted(name)}; CEL reads - as minus; write a key that contains - as ['...']"
    hint = "" if is_function else "; a text needs quotes"
    return describe_unknown(kind, name, known, f"the {kind}s are {', '.join(known)}{hint}")


def _unexpected(words: str, found: str, text: str, at: int) -> str:
    if found == "<EOF>":
        return "it ends too early"
    if "recognition" in words and found[0] in {"'", '"'} and "\\" in found:
        return "a \\ in a text starts an escape; double it, or write r before the quote"
    if "recognition" in words and found[0] in {"'", '"'}:
        return (
            f"the text that starts with {found[0]} is never closed; "
            "if it contains a #, quote the whole expression"
        )
    word_before = re.search(r"(\w+)\s*$", text[:at])
    candidates = [found.strip(), text[max(0, at - 1) : at + 1], word_before[1] if word_before else ""]
    hints = filter(None, map(_replacement, candidates))
    return f"unexpected {quoted(found.strip())}{next(hints, '')}"


def _replacement(word: str) -> str:
    return f"; CEL writes {_REPLACEMENTS[word]}" if word in _REPLACEMENTS else ""


def _mismatch(name: str, types: list[str]) -> str:
    kinds = [readable_type(one) for one in types]
    operator = name.strip("_@").replace("_", "") or name
    if name == "_?_:_" and kinds[0] not in {"bool", "any value"}:
        return _OPERAND_ERRORS["<jump_condition>"]
    if name == "_?_:_":
        return f"both results of ? must have one type, not {kinds[-2]} and {kinds[-1]}"
    hint = "" if operator.isidentifier() else _hint(set(kinds))
    return f"{quoted(operator)} cannot be applied to {' and '.join(kinds)}{hint}"


def _hint(kinds: set[str]) -> str:
    if len(kinds & _NUMBERS) > 1:
        return _NO_MIXING
    if kinds == {"text", "timestamp"}:
        return "; timestamp(...) turns a text into a time"
    if "text" in kinds and kinds & _NUMBERS:
        return "; int(...) turns a text into a number"
    return ""


def _plain(error: str) -> str:
    return _CODE.sub("", _CODE.sub("", error.splitlines()[0]))
