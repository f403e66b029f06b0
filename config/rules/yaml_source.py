"""The only user of PyYAML: turns YAML text into nodes that know their place in the file.

Aliases and merges (``<<``) are expanded. The line and column of a node then point to its text, and its path
says where the text is used.
"""

import re

import yaml
from yaml.reader import ReaderError

from config.rules.nodes import Entries, Entry, Items, Node, NodeKind, Scalar
from config.rules.problems import NodeError, Place, Report
from config.wording import quoted

_MAX_CHARACTERS = 1_000_000  # a thousand rules have some 300,000
_MAX_NODES = 100_000  # a thousand rules have some 30,000; aliases of aliases can multiply without end
_MAX_DEPTH = 20  # the format nests five levels; composing and converting both recurse
_TOO_DEEP = f"nested more than {_MAX_DEPTH} levels deep"

_MERGE_TAG = "tag:yaml.org,2002:merge"
_KINDS = {
    "tag:yaml.org,2002:str": NodeKind.TEXT,
    "tag:yaml.org,2002:value": NodeKind.TEXT,  # a lone =, to which YAML 1.1 gives a special meaning
    _MERGE_TAG: NodeKind.TEXT,
    "tag:yaml.org,2002:int": NodeKind.NUMBER,
    "tag:yaml.org,2002:float": NodeKind.NUMBER,
    "tag:yaml.org,2002:bool": NodeKind.BOOLEAN,
    "tag:yaml.org,2002:timestamp": NodeKind.TIME,
    "tag:yaml.org,2002:null": NodeKind.NOTHING,
}
_BARE_TAG = "!"  # YAML drops the ! of `when: ! order.paid`, so the condition would mean its opposite
_EXPRESSION = re.compile(r"&&|\|\||[=!<>]=|\bwhen:|[\w\"')\]] [<>*/%?] |\b(?:has|int|size)\(")
_KNOWN_TAGS = {*_KINDS, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}


def read_yaml(text: str, report: Report) -> Node:
    """Return the only document in ``text``; raise NodeError if it cannot be read.

    Mistakes that leave the rest readable, such as a duplicate key, go to ``report``.
    """
    if len(text) > _MAX_CHARACTERS:
        raise NodeError(Place(line=1, column=1), f"longer than {_MAX_CHARACTERS:,} characters")
    return _Converter(report).convert(_compose(text), "")


def place_in(text: str, index: int) -> Place:
    """Return the line and column of the character at ``index`` of ``text``."""
    before = text[:index]
    return Place(line=before.count("\n") + 1, column=index - before.rfind("\n"))


class _Loader(yaml.SafeLoader):
    """Composes YAML nodes, but refuses to nest deeper than ``_MAX_DEPTH``."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise NodeError(self.place(), _TOO_DEEP)
        is_bare = getattr(self.peek_event(), "tag", None) == _BARE_TAG  # type: ignore[no-untyped-call]  # stubs' gap
        node = super().compose_node(parent, index)
        self.depth -= 1
        if node is not None and is_bare:
            node.tag = _BARE_TAG
        return node

    def place(self) -> Place:
        """Return where the next node begins."""
        return _place(self.peek_event().start_mark)  # type: ignore[no-untyped-call]  # stubs' gap


def _compose(text: str) -> yaml.Node:
    try:
        loader = _Loader(text)
    except ReaderError as error:
        place = place_in(text, error.position)
        raise NodeError(place, "a control character is not allowed here; remove it") from None
    try:
        return _only_document(loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(text, error) from None
    except (ValueError, OverflowError):
        # PyYAML raises these for "\UFFFFFFFF", and for a %YAML version of 5,000 digits.
        place = _place(loader.get_mark())
        raise NodeError(place, "not valid YAML: a number here is out of range") from None
    finally:
        loader.dispose()


def _only_document(loader: _Loader) -> yaml.Node:
    node = loader.get_node() if loader.check_node() else None
    if node is None:
        raise NodeError(Place(line=1, column=1), "the file is empty; begin it with version: 1")
    if loader.check_node():
        raise NodeError(loader.place(), "a second document begins here; keep one document per file")
    return node


def _syntax_error(text: str, error: yaml.MarkedYAMLError) -> NodeError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return NodeError(Place(line=1, column=1), f"not valid YAML: {error.problem}")
    if text[mark.index : mark.index + 1] == "\t":
        return NodeError(_place(mark), "a tab is not allowed here; use spaces")
    start = error.context_mark
    context = f" ({error.context}, from line {start.line + 1})" if start else ""
    lines = [_line_at(text, each) for each in (mark, start) if each]
    hint = "; if this is an expression, quote all of it" if any(map(_EXPRESSION.search, lines)) else ""
    return NodeError(_place(mark), f"not valid YAML: {error.problem}{context}{hint}")


def _line_at(text: str, mark: yaml.Mark) -> str:
    end = text.find("\n", mark.index)
    return text[text.rfind("\n", 0, mark.index) + 1 : end if end >= 0 else None]


class _Converter:
    """Converts YAML nodes to ours; limits their number, because aliases can expand a short text hugely."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._count = 0
        self._open: set[yaml.Node] = set()  # the nodes that enclose the present one; hashed by identity

    def convert(self, source: yaml.Node, path: str) -> Node:
        place = _place(source.start_mark, path)
        self._enter(source, place)
        if source.tag not in _KNOWN_TAGS:
            hint = "remove it, or quote the whole expression if it begins with !"
            self._report.add(place, f"the tag {quoted(source.tag)} has no meaning here; {hint}")
        node = self._node(source, place)
        self._open.remove(source)
        return node

    def _enter(self, source: yaml.Node, place: Place) -> None:
        self._count += 1
        if self._count > _MAX_NODES:
            raise NodeError(place, f"with its aliases expanded, the file has over {_MAX_NODES:,} values")
        if source in self._open:
            raise NodeError(place, "this alias refers to a value that contains it; write the value out")
        if len(self._open) >= _MAX_DEPTH:
            raise NodeError(place, _TOO_DEEP)
        self._open.add(source)

    def _node(self, source: yaml.Node, place: Place) -> Node:
        if isinstance(source, yaml.MappingNode):
            return self._mapping(source, place)
        if isinstance(source, yaml.SequenceNode):
            items = [self.convert(each, f"{place.path}[{i}]") for i, each in enumerate(source.value)]
            return Items(place=place, items=tuple(items))
        return Scalar(place=place, text=source.value, kind=_KINDS.get(source.tag, NodeKind.TEXT))

    def _mapping(self, source: yaml.MappingNode, place: Place) -> Entries:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        first: dict[str, Scalar] = {}
        for key_source, value_source in source.value:
            key = self._key(key_source, place.path)
            if key is None or self._is_duplicate(key, first):
                continue
            if key_source.tag == _MERGE_TAG:
                merged = self._merge(value_source, place.path)
            else:
                own[key.text] = Entry(key=key, value=self.convert(value_source, key.place.path))
        return Entries(place=place, entries=merged | own)

    def _key(self, source: yaml.Node, parent: str) -> Scalar | None:
        if not isinstance(source, yaml.ScalarNode):
            self._report.add(_place(source.start_mark, parent), "a key must be a text")
            return None
        place = _place(source.start_mark, _path_below(parent, source.value))
        return Scalar(place=place, text=source.value, kind=_KINDS.get(source.tag, NodeKind.TEXT))

    def _is_duplicate(self, key: Scalar, first: dict[str, Scalar]) -> bool:
        earlier = first.setdefault(key.text, key)
        if earlier is not key:
            message = f"duplicate key {quoted(key.text)}; it first appears on line {earlier.place.line}"
            self._report.add(key.place, message)
        return earlier is not key

    def _merge(self, value: yaml.Node, path: str) -> dict[str, Entry]:
        merged: dict[str, Entry] = {}
        for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            node = self.convert(source, path)
            if not isinstance(node, Entries):
                self._report.add(node.place, "<< merges a mapping, or a list of mappings")
                continue
            for key, entry in node.entries.items():
                merged.setdefault(key, entry)  # the first of several sources wins
        return merged


def _place(mark: yaml.Mark, path: str = "") -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1, path=path)


def _path_below(path: str, key: str) -> str:
    if not re.fullmatch(r"[\w-]{1,128}", key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key
