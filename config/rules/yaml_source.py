"""The only user of PyYAML: turns YAML text into plain pieces that know where they stand.

Aliases and merges (``<<``) are expanded: a piece points at where its text stands, its path says
where it is used.
"""

import re

import yaml
from yaml.reader import ReaderError

from config.rules.nodes import Entries, Entry, Items, Node, NodeKind, Scalar
from config.rules.problems import NodeError, Place, Report
from config.wording import quoted

_MAX_CHARACTERS = 1_000_000  # a thousand rules are some 300,000
_MAX_PIECES = 100_000  # a thousand rules are some 30,000; aliases of aliases grow without end
_MAX_DEPTH = 20  # the format nests five deep; both walks here recurse
_TOO_DEEP = f"nested more than {_MAX_DEPTH} deep"

_MERGE_TAG = "tag:yaml.org,2002:merge"
_KINDS = {
    "tag:yaml.org,2002:str": NodeKind.TEXT,
    "tag:yaml.org,2002:value": NodeKind.TEXT,  # a lone =, which YAML 1.1 meant to be special
    _MERGE_TAG: NodeKind.TEXT,
    "tag:yaml.org,2002:int": NodeKind.NUMBER,
    "tag:yaml.org,2002:float": NodeKind.NUMBER,
    "tag:yaml.org,2002:bool": NodeKind.BOOLEAN,
    "tag:yaml.org,2002:timestamp": NodeKind.TIME,
    "tag:yaml.org,2002:null": NodeKind.NOTHING,
}
_BARE_TAG = "!"  # `when: ! order.paid`: YAML drops the ! and with it what was meant
_EXPRESSION = re.compile(r"&&|\|\||[=!<>]=|\bwhen:|[\w\"')\]] [<>*/%?] |\b(?:has|int|size)\(")
_KNOWN_TAGS = {*_KINDS, "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}


def read_yaml(text: str, report: Report) -> Node:
    """Return the one document in ``text``; PieceError if there is none that can be walked.

    Mistakes that leave the rest readable, such as a key given twice, go to ``report``.
    """
    if len(text) > _MAX_CHARACTERS:
        raise NodeError(Place(line=1, column=1), f"longer than {_MAX_CHARACTERS:,} characters")
    return _Expansion(report).piece(_compose(text), "")


def place_in(text: str, index: int) -> Place:
    """Return where the character at ``index`` of ``text`` stands."""
    before = text[:index]
    return Place(line=before.count("\n") + 1, column=index - before.rfind("\n"))


class _Loader(yaml.SafeLoader):
    """Composes nodes, and stops where they nest deeper than anything that we read."""

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
        """Return where the next thing to compose begins."""
        return _place(self.peek_event().start_mark)  # type: ignore[no-untyped-call]  # stubs' gap


def _compose(text: str) -> yaml.Node:
    try:
        loader = _Loader(text)
    except ReaderError as error:
        place = place_in(text, error.position)
        raise NodeError(place, "a control character cannot stand here; remove it") from None
    try:
        return _only_document(loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(text, error) from None
    except (ValueError, OverflowError):
        # PyYAML lets these escape from "\UFFFFFFFF" and from a %YAML version of 5,000 digits.
        place = _place(loader.get_mark())
        raise NodeError(place, "not valid YAML: a number here is out of range") from None
    finally:
        loader.dispose()


def _only_document(loader: _Loader) -> yaml.Node:
    node = loader.get_node() if loader.check_node() else None
    if node is None:
        raise NodeError(Place(line=1, column=1), "the file is empty; begin it with version: 1")
    if loader.check_node():
        raise NodeError(loader.place(), "a second document begins here; keep one in a file")
    return node


def _syntax_error(text: str, error: yaml.MarkedYAMLError) -> NodeError:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return NodeError(Place(line=1, column=1), f"not valid YAML: {error.problem}")
    if text[mark.index : mark.index + 1] == "\t":
        return NodeError(_place(mark), "a tab cannot stand here; use spaces")
    since = error.context_mark
    context = f" ({error.context}, from line {since.line + 1})" if since else ""
    lines = [_line_at(text, one) for one in (mark, since) if one]
    hint = "; if this is an expression, quote the whole of it" if any(map(_EXPRESSION.search, lines)) else ""
    return NodeError(_place(mark), f"not valid YAML: {error.problem}{context}{hint}")


def _line_at(text: str, mark: yaml.Mark) -> str:
    end = text.find("\n", mark.index)
    return text[text.rfind("\n", 0, mark.index) + 1 : end if end >= 0 else None]


class _Expansion:
    """Turns nodes into pieces; counts them, as by aliases a short text can stand for a vast one."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._count = 0
        self._open: set[yaml.Node] = set()  # those that we are inside of; nodes hash by identity

    def piece(self, node: yaml.Node, path: str) -> Node:
        place = _place(node.start_mark, path)
        self._enter(node, place)
        if node.tag not in _KNOWN_TAGS:
            hint = "remove it, or quote the whole of an expression that begins with !"
            self._report.add(place, f"the tag {quoted(node.tag)} means nothing here; {hint}")
        piece = self._opened(node, place)
        self._open.remove(node)
        return piece

    def _enter(self, node: yaml.Node, place: Place) -> None:
        self._count += 1
        if self._count > _MAX_PIECES:
            raise NodeError(place, f"with its aliases the file has over {_MAX_PIECES:,} values")
        if node in self._open:
            raise NodeError(place, "this refers to itself by an alias; write it out")
        if len(self._open) >= _MAX_DEPTH:
            raise NodeError(place, _TOO_DEEP)
        self._open.add(node)

    def _opened(self, node: yaml.Node, place: Place) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            items = [self.piece(one, f"{place.path}[{i}]") for i, one in enumerate(node.value)]
            return Items(place=place, items=tuple(items))
        return Scalar(place=place, text=node.value, kind=_KINDS.get(node.tag, NodeKind.TEXT))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Entries:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        first: dict[str, Scalar] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, place.path)
            if key is None or self._is_repeated(key, first):
                continue
            if key_node.tag == _MERGE_TAG:
                merged = self._merged(value_node, place.path)
            else:
                own[key.text] = Entry(key=key, value=self.piece(value_node, key.place.path))
        return Entries(place=place, entries=merged | own)

    def _key(self, node: yaml.Node, parent: str) -> Scalar | None:
        if not isinstance(node, yaml.ScalarNode):
            self._report.add(_place(node.start_mark, parent), "a key must be a text")
            return None
        place = _place(node.start_mark, _below(parent, node.value))
        return Scalar(place=place, text=node.value, kind=_KINDS.get(node.tag, NodeKind.TEXT))

    def _is_repeated(self, key: Scalar, first: dict[str, Scalar]) -> bool:
        earlier = first.setdefault(key.text, key)
        if earlier is not key:
            line = earlier.place.line
            self._report.add(key.place, f"duplicate key {quoted(key.text)}; it is first on line {line}")
        return earlier is not key

    def _merged(self, node: yaml.Node, path: str) -> dict[str, Entry]:
        merged: dict[str, Entry] = {}
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            piece = self.piece(source, path)
            if not isinstance(piece, Entries):
                self._report.add(piece.place, "<< can merge a mapping, or a list of mappings")
                continue
            for key, entry in piece.entries.items():
                merged.setdefault(key, entry)  # of several sources the first wins
        return merged


def _place(mark: yaml.Mark, path: str = "") -> Place:
    return Place(line=mark.line + 1, column=mark.column + 1, path=path)


def _below(path: str, key: str) -> str:
    if not re.fullmatch(r"[\w-]{1,128}", key):
        return f"{path}[{quoted(key)}]"
    return f"{path}.{key}" if path else key
