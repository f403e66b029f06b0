"""What is said of the products that rules name."""

from config.rules import Rules
from tests.support.builders import PRODUCT, rule, rules_of, some_id
from tests.support.catalogues import product
from workers.operations.check.findings import check_products, named_products
from workers.polar.catalogue import PolarProduct, Products

NAMED = rules_of(rule("pack", {"api_usage": 10}, products=[PRODUCT]))


def said(
    rules: Rules, *there: PolarProduct, missing: tuple[str, ...] = (), unread: int = 0
) -> list[tuple[str, str]]:
    found = Products(items=there, missing=frozenset(missing), unread=unread)
    findings = list(check_products(rules, found))
    assert {one.what for one in findings} <= {"product"}
    return [(one.level, one.detail) for one in findings]


def test_a_product_that_is_there_is_shown_by_its_name_and_the_rules_that_name_it() -> None:
    twice = rules_of(
        rule("pack", {"api_usage": 10}, products=[PRODUCT]),
        rule("extra", {"images": 1}, products=[PRODUCT, some_id(2)]),
        rule("all", {"seconds": 1}),
    )
    found = said(twice, product(), product("Pro", product_id=some_id(2)))
    assert sorted(found) == [
        ("ok", f"'Credit pack' ({PRODUCT}) in rules pack, extra"),
        ("ok", f"'Pro' ({some_id(2)}) in rule extra"),
    ]


def test_a_product_that_does_not_exist_is_an_error_with_its_rule() -> None:
    ((level, detail),) = said(NAMED, product("Other", product_id=some_id(2)), missing=(PRODUCT,))
    assert level == "error"
    assert detail.startswith(f"{PRODUCT} in rule pack: the token's organization has no such product")


def test_a_product_that_was_not_asked_for_is_not_called_missing() -> None:
    ((level, detail),) = said(NAMED)
    assert level == "warning"
    assert f"{PRODUCT} in rule pack: not checked" in detail


def test_an_archived_product_is_a_warning() -> None:
    ((level, detail),) = said(NAMED, product(is_archived=True))
    assert level == "warning"
    assert "'Credit pack'" in detail
    assert "is archived" in detail


def test_products_that_no_rule_names_are_not_listed() -> None:
    rules = rules_of(rule("all", {"api_usage": 10}))
    assert said(rules, product(is_archived=True)) == []
    assert named_products(rules) == frozenset()


def test_products_that_were_not_read_are_told_of() -> None:
    *_, (level, detail) = said(NAMED, product(), unread=234)
    assert level == "warning"
    assert "234 more" in detail
