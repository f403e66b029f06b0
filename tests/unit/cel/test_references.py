"""The fields that an expression uses, and the operands of &&."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.cel.expressions import NAMES, compile_expression
from config.cel.references import conjuncts, probed_references, references_in

FIELDS = ("net_amount", "metadata.plan", 'metadata["a && b"]', "items[0].label", "`odd`")
STRINGS = (
    '"x"', "'a && b'", '"a || \\" b"', "r'\\d \"'", '"""seats && "" units"""', "b'seats'", "'a // b'", "'(['",
)  # fmt: skip

operands = st.one_of(
    st.builds("{}.{}".format, st.sampled_from(NAMES[:4]), st.sampled_from(FIELDS)),
    st.sampled_from(["seats", "units", "1", "2.5", *STRINGS]),
)
comparisons = st.builds("dyn({}) {} dyn({})".format, operands, st.sampled_from(["==", "!="]), operands)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("[1].exists(i, {} && i == 1)".format, inner),
        st.builds("{{1: {}}}[1]".format, inner),
    )


conditions = st.recursive(comparisons, _grown, max_leaves=4)
"""CEL conditions without a && outside all brackets."""

joints = st.sampled_from([" && ", "&&", "\n  && ", " && // and\n"])


def names_in(text: str) -> list[tuple[str, ...]]:
    return [reference.keys for reference in references_in(text, NAMES)]


class TestReferences:
    @pytest.mark.parametrize(
        ("text", "keys"),
        [
            ("order.net_amount", [("order", "net_amount")]),
            ("order", [("order",)]),
            ("seats * units", [("seats",), ("units",)]),
            ('order.metadata["my key"].x', [("order", "metadata", "my key", "x")]),
            ("order['metadata'].x", [("order", "metadata", "x")]),
            ("order.metadata.`my-key`", [("order", "metadata", "my-key")]),
            ("order . net_amount", [("order", "net_amount")]),
            ("order.items[0].label", [("order", "items")]),
            ("order.items.exists(i, i.amount > 1)", [("order", "items")]),
            ("order.name.startsWith('order.x')", [("order", "name")]),
            ("has(order.x) && order.x.code == 'a'", [("order", "x"), ("order", "x", "code")]),
            ("order.a + order.a", [("order", "a")]),
            ("border.a + reorder + orders.b + x.order", []),
            ("'order.a' == \"seats\" // units", []),
            ("r'\\d \"' == 'a' || seats == 1 || 'b' == r'\\\\'", [("seats",)]),
            ('"""order.a "" order.b"""', []),
        ],
    )  # fmt: skip
    def test_are_the_fields_of_variables_each_once(self, text: str, keys: list[tuple[str, ...]]) -> None:
        """Strings, comments, functions and other names are not fields."""
        assert names_in(text) == keys

    def test_are_told_as_they_are_written(self) -> None:
        """The text of a reference is as the author wrote it, without line breaks."""
        (reference,) = references_in('order\n  .metadata[ "my key" ]', NAMES)

        assert reference.text == 'order.metadata["my key"]'

    @given(st.lists(operands, min_size=1, max_size=6))
    def test_of_a_whole_are_those_of_its_parts(self, parts: list[str]) -> None:
        """No operand hides a field or adds one, whatever strings there are."""
        expected = dict.fromkeys(keys for part in parts for keys in names_in(part))

        assert names_in(" + ".join(parts)) == list(expected)

    @pytest.mark.parametrize(
        ("text", "keys"),
        [
            ("has(order.discount) && order.discount.code == 'a'", [("order", "discount")]),
            ("!has( order.metadata.x )", [("order", "metadata", "x")]),
            ("'has(order.x)' == hash(order.y)", []),
            ("order.net_amount > 1", []),
        ],
    )
    def test_that_has_asks_for_are_known(self, text: str, keys: list[tuple[str, ...]]) -> None:
        """A field that has(...) checks is known to be possibly absent."""
        assert [reference.keys for reference in probed_references(text, NAMES)] == keys


class TestConjuncts:
    @given(st.lists(conditions, min_size=1, max_size=4), joints)
    def test_joined_and_split_again_are_the_same(self, parts: list[str], joint: str) -> None:
        """Parts are split at && only, whatever strings and brackets they contain."""
        comment = joint.partition("//")[2].strip()
        split = [part.removeprefix(f"// {comment}").strip() for part in conjuncts(joint.join(parts))]

        assert split == parts

    @given(conditions)
    def test_are_cel_each_of_them(self, condition: str) -> None:
        """The strategies generate valid CEL; otherwise these tests would prove nothing."""
        assert compile_expression(condition).kind == "BOOL"

    @pytest.mark.parametrize(
        "text", ["a && b || c", "a || b && c", "a && b ? c : d", "a ? b && c : d", "a || b", "a"]
    )
    def test_are_the_whole_where_something_binds_weaker(self, text: str) -> None:
        """Beside || or ? : an operand of && is not a condition of its own."""
        assert conjuncts(text) == (text,)
