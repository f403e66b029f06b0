"""CEL's errors in words for people who write rules: what is wrong, where, what to write instead."""

import re
from collections.abc import Collection

from config.wording import describe_unknown, quoted

_ERROR = re.compile(r"ERROR: <input>:(?P<line>-?\d+):(?P<column>-?\d+): (?P<words>[^\n]*)")
_OVERLOAD = re.compile(r"found no matching overload for '(?P<name>[^']+)' applied to '(?P<types>[^']*)'")
_RUN_OVERLOAD = re.compile(
    r"No matching overloads found : (?:\((?P<target>[^()]*)\)\.)?(?P<name>[^\s(]+)\((?P<types>[^)]*)\)"
)
_RUN_UNTOLD = re.compile(r"No matching overloads found : (?P<name>\S+)")
_UNDECLARED = re.compile(r"undeclared reference to '(?P<name>[^']+)'")
_UNEXPECTED = re.compile(r"(?:input|error at:) '(?P<found>.*?)'(?: expecting|$)")
_TOO_DEEP = re.compile(r"max recursion depth|recursion limit")
_CODE = re.compile(r"^[A-Z_]+: |\s*\[[A-Z_]+\]$")

_KINDS = {
    "int64": "int", "uint64": "uint", "string": "text", "null_type": "null", "map": "object",
    "dyn": "any value", "google.protobuf.timestamp": "timestamp", "google.protobuf.duration": "duration",
}  # fmt: skip
_SPELLED = {
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
    (re.compile(r"reserved identifier: if"), "CEL has no if; it writes condition ? this : that"),
    (re.compile(r"reserved identifier: (\w+)"), "the word {} cannot stand here"),
    (re.compile(r"has\(\) argument"), "has(...) asks for a field, as in has(order.discount)"),
    (re.compile(r"type '(\w+)' cannot be the operand of a select"), "a value of type {} has no fields"),
    (re.compile(r"invalid (\w+) literal"), "this {} is beyond what CEL can hold"),
)
_UNTOLD = {
    "_&&_": "&& joins what is true or false, nothing else",
    "_||_": "|| joins what is true or false, nothing else",
    "!_": "! turns round what is true or false, nothing else",
    "@in": "in looks into a list or an object, nothing else",
    "<jump_condition>": "? asks for something that is true or false",
}
ILL_FORMED = {
    "to Timestamp conversion": "a text is no time such as 2026-11-01T00:00:00Z",
    "to Duration conversion": "a text is no duration such as 24h",
    "Invalid timezone": "a text is no time zone such as Europe/Berlin",
    "invalid regular expression": "a text is no pattern such as ^[a-z]+$",
}
_NUMBERS = {"int", "uint", "double"}
_NO_MIXING = (
    "; CEL mixes no integers with decimals: write `* 12 / 100` for `* 0.12`, "
    "or double(...) round the integer and a decimal such as 100.0"
)


def explain_compile_error(text: str, error: str, names: Collection[str]) -> str:
    """Return what keeps ``text`` from being compiled, first things first."""
    found = _ERROR.search(error)
    if _TOO_DEEP.search(found["words"] if found else error):
        return "nested too deep; `x in [...]` says in one what many || say"
    if found is None:
        return _plain(error)
    lines = text.split("\n")
    line, column = int(found["line"]), int(found["column"])
    at = len("\n".join(lines[: line - 1])) + (line > 1) + column - 1
    where = f"line {line}, character {column}" if len(lines) > 1 else f"character {column}"
    return f"{_complaint(found['words'], text, at, names)} (at {where} of the expression)"


def explain_evaluation_error(text: str, error: str) -> str:
    """Return why ``text`` has no value; of what the webhook holds nothing is repeated."""
    if overload := _RUN_OVERLOAD.search(error):
        target = [overload["target"]] if overload["target"] else []
        return _mismatch(overload["name"], [*target, *overload["types"].split(", ")])
    if untold := _RUN_UNTOLD.search(error):
        return _UNTOLD.get(untold["name"], "its types do not go together")
    if "Iteration budget" in error:
        return "takes too many steps"
    if missing := re.search(r'Key not found in map : "?(.*?)"?$', error):
        return f"there is no {quoted(missing[1])}" if missing[1] in text else "there is no such key"
    if "Applying SELECT" in error:
        return "looks for a field in something that has none"
    return next((words for kind, words in ILL_FORMED.items() if kind in error), None) or _plain(error)


def involves_null(error: str) -> bool:
    """Return whether types did not go together because one of them is null."""
    overload = _RUN_OVERLOAD.search(error)
    return overload is not None and "null" in f"{overload['target']}, {overload['types']}"


def readable_type(name: str) -> str:
    """Return CEL's name of a type as people say it."""
    plain = name.lower().partition("<")[0]
    return _KINDS.get(plain, plain)


def _complaint(words: str, text: str, at: int, names: Collection[str]) -> str:
    if overload := _OVERLOAD.search(words):
        return _mismatch(overload["name"], overload["types"].strip("()").split(", "))
    if undeclared := _UNDECLARED.search(words):
        return _unknown(undeclared["name"].partition(".")[0], text, at, names)
    if unexpected := _UNEXPECTED.search(words):
        return _unexpected(words, unexpected["found"], text, at)
    matches = ((pattern.search(words), said) for pattern, said in _FORMS)
    found = (said.format(*match.groups()) for match, said in matches if match)
    return next(found, words.removeprefix("Syntax error: "))


def _unknown(name: str, text: str, at: int, names: Collection[str]) -> str:
    is_function = text[at : at + 1] == "("
    kind, known = ("function", _FUNCTIONS) if is_function else ("name", tuple(names))
    if spelled := _spelled(name):
        return f"unknown {kind} {quoted(name)}{spelled}"
    before = text[:at]
    if re.search(r"\w-$", before):
        return f"unknown name {quoted(name)}; to CEL a - is a minus: write ['...'] round a key that has one"
    hint = "" if is_function else "; a text needs quotes"
    return describe_unknown(kind, name, known, f"there are {', '.join(known)}{hint}")


def _unexpected(words: str, found: str, text: str, at: int) -> str:
    if found == "<EOF>":
        return "it ends too early"
    if "recognition" in words and found[0] in {"'", '"'} and "\\" in found:
        return "a \\ in a text begins an escape; write it twice, or r before the quote"
    if "recognition" in words and found[0] in {"'", '"'}:
        return (
            f"the text that begins with {found[0]} is never closed; if it has a #, quote the whole expression"
        )
    word_before = re.search(r"(\w+)\s*$", text[:at])
    candidates = [found.strip(), text[max(0, at - 1) : at + 1], word_before[1] if word_before else ""]
    hints = filter(None, map(_spelled, candidates))
    return f"unexpected {quoted(found.strip())}{next(hints, '')}"


def _spelled(word: str) -> str:
    return f"; CEL writes {_SPELLED[word]}" if word in _SPELLED else ""


def _mismatch(name: str, types: list[str]) -> str:
    kinds = [readable_type(one) for one in types]
    operator = name.strip("_@").replace("_", "") or name
    if name == "_?_:_" and kinds[0] not in {"bool", "any value"}:
        return _UNTOLD["<jump_condition>"]
    if name == "_?_:_":
        return f"? gives things of one type, not {kinds[-2]} here and {kinds[-1]} there"
    hint = "" if operator.isidentifier() else _hint(set(kinds))
    return f"{quoted(operator)} does not go with {' and '.join(kinds)}{hint}"


def _hint(kinds: set[str]) -> str:
    if len(kinds & _NUMBERS) > 1:
        return _NO_MIXING
    if kinds == {"text", "timestamp"}:
        return "; timestamp(...) makes a time of a text"
    if "text" in kinds and kinds & _NUMBERS:
        return "; int(...) makes a number of a text"
    return ""


def _plain(error: str) -> str:
    return _CODE.sub("", _CODE.sub("", error.splitlines()[0]))
