"""Whether the endpoint at Polar sends the webhooks that the rules need."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.demo.polar import Polar
from config.rules import Trigger
from tests.support.answers import recorded
from tests.support.builders import rule, rules_of
from workers.core.envelope import STORED_TYPES
from workers.core.findings import Finding
from workers.operations.check.endpoint import check_endpoints, needed_webhooks
from workers.polar.catalogue import PolarEndpoint, parse_items

URL = "https://credits.example.com/webhooks/polar"


def endpoint(*events: str, **fields: Any) -> PolarEndpoint:
    """Return an endpoint as read from Polar."""
    shown = Polar().add_endpoint(
        **{"url": URL, "secret": "whsec_testsecret", "events": list(events)} | fields
    )
    (view,) = parse_items(PolarEndpoint, [shown.model_dump(mode="json")])
    return view


def found(triggers: Sequence[str], *endpoints: PolarEndpoint, forgets: bool = False) -> list[Finding]:
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=list(triggers)))
    return list(check_endpoints(rules, endpoints, forgets_deleted=forgets))


def missing(triggers: Sequence[str], *events: str, forgets: bool = False) -> str:
    """Return what is said to be missing where one endpoint gets these events; empty if nothing is."""
    (one,) = found(triggers, endpoint(*events), forgets=forgets)
    assert one.what == "endpoint"
    if one.level == "ok":
        return ""
    assert one.level == "error"
    return one.detail.removeprefix(f"{URL} does not get ").partition(":")[0]


@pytest.mark.parametrize(
    ("triggers", "webhooks"),
    [
        (["purchase", "subscription_cycle"], {"order.paid"}),
        (["trial_start"], {"order.paid"}),
        (["subscription.cycled"], {"subscription.cycled", "subscription.resumed"}),
        (["subscription.created"], {"subscription.created"}),
        (["subscription.created", "trial_start"], {"subscription.created"}),
        (["customer.created"], {"customer.created"}),
    ],
)
def test_each_trigger_needs_its_webhooks(triggers: list[str], webhooks: set[str]) -> None:
    rules = rules_of(rule("any", {"api_usage": 1}, triggers=triggers))
    assert needed_webhooks(rules, forgets_deleted=False) == webhooks
    assert missing(triggers, *webhooks) == ""
    assert missing(triggers) != ""


def test_every_webhook_that_is_stored_is_needed_by_some_rule() -> None:
    lines = [
        rule(f"r{i}", {"api_usage": 1}, triggers=[each], once_per="customer")
        for i, each in enumerate(Trigger)
    ]
    lines.append(rule("refund", {"images": 1}, on_refund="revoke"))
    assert needed_webhooks(rules_of(*lines), forgets_deleted=False) == STORED_TYPES


def test_a_resumption_is_missed_where_the_endpoint_gets_only_the_cycles() -> None:
    assert missing(["subscription.cycled"], "order.paid", "subscription.cycled") == "subscription.resumed"


def test_a_deleted_customer_is_missed_only_where_that_erases() -> None:
    assert missing(["purchase"], "order.paid", forgets=True) == "customer.deleted"
    assert missing(["purchase"], "order.paid") == ""


def test_a_refund_is_missed_where_a_rule_takes_back() -> None:
    rules = rules_of(rule("pack", {"api_usage": 1}, on_refund="revoke", triggers=["purchase"]))
    (one,) = check_endpoints(rules, [endpoint("order.paid")], forgets_deleted=False)
    assert "does not get order.refunded" in one.detail


def test_of_several_endpoints_the_one_that_leads_here_and_lacks_least_is_judged() -> None:
    elsewhere = endpoint("order.paid", url="https://crm.example.com/polar")
    disabled = endpoint("order.paid", enabled=False)
    old, new = (
        endpoint("order.created"),
        endpoint("order.paid", url="https://new.example.com/webhooks/polar/"),
    )
    assert [one.level for one in found(["purchase"], elsewhere, disabled, old)] == ["error"]
    assert [one.level for one in found(["purchase"], elsewhere, old, new)] == ["ok"]
    assert [one.level for one in found(["purchase"], elsewhere)] == ["ok"]
    assert found(["purchase"], disabled) == []


def test_polars_own_answer_is_read() -> None:
    items = recorded("webhook_endpoints").json()["items"]
    (one,) = parse_items(PolarEndpoint, items)
    assert found(["subscription.cycled", "subscription.created"], one)[0].level == "ok"
    assert "whsec" not in repr(one)
