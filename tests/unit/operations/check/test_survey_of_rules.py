"""What a survey asks of Polar because rules name it: products, disputes, subscriptions."""

import httpx
import pytest

from app.demo.polar import Polar as Standin
from tests.support.answers import recorded
from tests.support.builders import PRODUCT, rule, rules_of, some_id
from tests.support.surveys import asked, brief, said, stocked_standin
from workers.core.findings import Finding


@pytest.fixture
def standin() -> Standin:
    return stocked_standin()


def test_without_rules_the_scopes_are_still_looked_at(standin: Standin) -> None:
    found = said(asked(standin)[0], None)
    assert [(one.level, one.what) for one in found] == [*[("ok", "scope")] * 8, ("ok", "clock")]


def test_what_the_list_does_not_have_is_asked_for_before_it_is_called_missing(standin: Standin) -> None:
    answer, paths = asked(standin)
    gone = some_id(1)
    found = said(answer, rules_of(rule("pack", {"api_usage": 10}, products=[gone])))
    assert brief(found) == [("error", "product")]
    assert f"GET /v1/products/{gone}" in paths


def test_a_product_beyond_the_first_thousand_is_found() -> None:
    """The list says that there is more; what a rule names is asked for by itself."""
    empty = httpx.Response(200, json={"items": [], "pagination": {"total_count": 1001, "max_page": 11}})
    compress_body = dict(recorded("product").json(), id=PRODUCT)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(200, json={"inserted": 0, "duplicates": 0})
        return httpx.Response(200, json=compress_body) if request.url.path.endswith(PRODUCT) else empty

    details = [one.detail for one in said(answer) if one.what == "product"]
    assert details[0] == f"'Pro monthly' ({PRODUCT}) in rule pack"
    assert details[1].startswith("Polar has 1001 more")


def test_of_many_missing_products_no_more_than_twenty_are_asked_for(standin: Standin) -> None:
    """A rules file of another organization must not use up the rate limit of this one."""
    answer, paths = asked(standin)
    many = [some_id(number) for number in range(1, 31)]
    found = said(answer, rules_of(rule("packs", {"api_usage": 10}, products=many)))
    assert len([path for path in paths if path.startswith("GET /v1/products/")]) == 1 + 20
    assert brief(found).count(("error", "product")) == 20
    assert brief(found).count(("warning", "product")) == 10


def test_a_rule_that_needs_disputes_needs_their_scope(standin: Standin) -> None:
    disputed = rules_of(rule("pack", {"api_usage": 10}, products=[PRODUCT], on_dispute="revoke"))
    standin.scopes -= {"disputes:read"}
    answer, paths = asked(standin)
    (error,) = (one for one in said(answer, disputed) if one.level == "error")
    assert error == Finding(
        level="error",
        what="scope",
        detail="disputes:read is missing, so lost disputes take nothing back (on_dispute: revoke); "
        "add it to the token in Polar's dashboard",
    )
    assert "GET /v1/disputes/" in paths
    answer, paths = asked(standin)
    said(answer)
    assert "GET /v1/disputes/" not in paths


MONTHLY = rule(
    "yearly", {"api_usage": 10}, products=[PRODUCT], triggers=["subscription_cycle"], every="month"
)


@pytest.mark.parametrize(
    ("scope", "level", "consequence"),
    [
        ("subscriptions:read", "error", "later instalments are not given (every)"),
        ("disputes:read", "warning", "lost disputes end no instalments (every)"),
    ],
)
def test_a_rule_with_instalments_needs_scopes(
    standin: Standin, scope: str, level: str, consequence: str
) -> None:
    standin.scopes -= {scope}
    answer, paths = asked(standin)
    found = [one for one in said(answer, rules_of(MONTHLY)) if one.what == "scope" and one.level != "ok"]
    assert [(one.level, one.detail.partition(";")[0]) for one in found] == [
        (level, f"{scope} is missing, so {consequence}")
    ]
    assert "GET /v1/subscriptions/" in paths
    answer, paths = asked(standin)
    said(answer)
    assert "GET /v1/subscriptions/" not in paths
