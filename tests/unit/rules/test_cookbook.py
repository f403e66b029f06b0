"""Every rules file of the cookbook has the results claimed below it, on webhooks that a Polar server sent."""

import json
from itertools import groupby

import pytest

from tests.support.cookbook import RECIPES, Claim, Recipe, claim_in, recipes
from tests.support.fake_service import Shop
from tests.support.next_instalments import give_next, standing_of
from tests.support.recordings import payload
from workers.core.delivery import Outcome
from workers.core.instalment_series import series_text
from workers.core.instalments import INSTALMENT

CLAIMS = [
    pytest.param(recipe, claim, id=f"{recipe.title}-{number}")
    for recipe in RECIPES
    for number, claim in enumerate(recipe.claims, 1)
]

PACK = """\
# A page

## A pack

```yaml
# no heading
version: 1
meters: {api_usage: {}}
rules:
  - {name: pack, grant: {api_usage: 1000}, on_refund: revoke}
```

"""


def run(recipe: Recipe, claim: Claim) -> tuple[Shop, Outcome]:
    """Deliver a claim's webhooks one by one; return the outcome of the last."""
    shop = Shop(recipe.rules)
    outcome = None
    for number, body in enumerate(claim.webhooks):
        told = json.loads(body)
        if told["type"] == INSTALMENT:
            outcome = give_next(shop, **told["data"]["subscription"])
            continue
        shop.receive(f"msg-{number}", body)
        (outcome,) = shop.work().values()
    assert outcome is not None
    return shop, outcome


def later(shop: Shop, outcome: Outcome) -> str:
    """Return which instalments follow what the last webhook has credited."""
    standing = standing_of(shop, outcome.order_id)
    is_own = standing.own is not None and standing.own.delivery_id == outcome.delivery_id
    return series_text(standing.own.grants, standing.period) if standing.own and is_own else ""


def is_true(line: str) -> bool:
    """Return whether the claim in a line below PACK is true."""
    (recipe,) = recipes(f"{PACK}{line}\n\n## Another heading\n")
    (claim,) = recipe.claims
    shop, outcome = run(recipe, claim)
    return claim.matches(outcome.status, outcome.reason) and claim.later == later(shop, outcome)


@pytest.mark.parametrize(("recipe", "claim"), CLAIMS)
def test_a_recipe_has_the_claimed_result(recipe: Recipe, claim: Claim) -> None:
    shop, outcome = run(recipe, claim)
    assert claim.matches(outcome.status, outcome.reason), (claim.line, outcome.status, outcome.reason)
    assert claim.later == later(shop, outcome)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_every_rule_of_a_recipe_credits_something_in_a_claim(recipe: Recipe) -> None:
    given = {
        rule
        for claim in recipe.claims
        for frozen in run(recipe, claim)[0].store.claims.values()
        for grant in frozen.grants
        for rule in grant.rules
    }
    if not recipe.warnings:  # a file with a warning may show a rule that never applies
        assert given == {rule.name for rule in recipe.rules.rules}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_has_the_claimed_warnings_and_no_others(recipe: Recipe) -> None:
    if recipe.title != "When nothing is credited":  # it shows rules that fail
        assert tuple(str(warning) for warning in recipe.rules.warnings) == recipe.warnings


def test_there_are_more_than_thirty_recipes() -> None:
    assert len({recipe.title for recipe in RECIPES}) > 30


def test_no_two_sections_of_the_cookbook_have_one_title() -> None:
    titles = [title for title, _ in groupby(recipe.title for recipe in RECIPES)]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize(
    "line",
    [
        "- On `order_paid_purchase`: 1,000 api_usage.",
        "- On `order_paid_purchase`: 1000 api_usage.",
        "- On `order_paid_purchase`, then `order_refunded_full`: took back 1,000 api_usage.",
        "- On `order_paid_purchase`, then `order_paid_purchase`:\n  nothing (`already granted: …`).",
        "- On `customer_created`: nothing (`no rule has the trigger customer.created`).",
        "- On `order_paid_purchase`, then `lost_dispute`: nothing (`no rule that credited this order…`).",
        "| what happens | on | what it comes to |\n| --- | --- | --- |\n"
        "| a pack | `order_paid_purchase` | 1,000 api_usage |",
    ],
)
def test_a_true_claim_is_accepted(line: str) -> None:
    assert is_true(line)


@pytest.mark.parametrize(
    "line",
    [
        "- On `order_paid_purchase`: 100 api_usage.",
        "| what happens | on | what it comes to |\n| --- | --- | --- |\n"
        "| a pack | `order_paid_purchase` | 100 api_usage |",
        "- On `order_paid_purchase`: 1,000 api_usage, then 1,000 api_usage each month, once, on 2026-12-28.",
        "- On `order_paid_purchase`: 1,000 images.",
        "- On `order_paid_purchase`: 1,000 api_usage, 1 images.",
        "- On `order_paid_purchase`: nothing (`1000 api_usage`).",
        "- On `order_paid_purchase`, then `order_refunded_full`: 1,000 api_usage.",
        "- On `customer_created`: nothing (`no rule`).",
        "- On `customer_created`: nothing (`a rule…`).",
        "- On `customer_created`: failed (`no rule has the trigger customer.created`).",
    ],
)
def test_a_false_claim_is_rejected(line: str) -> None:
    assert not is_true(line)


@pytest.mark.parametrize(
    "line",
    [
        "- On a purchase: 10 api_usage.",
        "- On `order_paid_purchase` 10 api_usage.",
        "- On `order_paid_purchase` where `order.net_amount` = `1`: 10 api_usage.",
        "- On `order_paid_purchase` and then `order_refunded_full`: 10 api_usage.",
        "- On `order_paid_purchase`: 10 api_usage",
    ],
)
def test_a_line_of_another_form_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a claim"):
        claim_in(line)


def test_a_recipe_has_the_claims_up_to_the_next_heading_or_file() -> None:
    line = "- On `order_paid_purchase`: 1 api_usage."
    document = f"{line}\n{PACK}{line}\n\nWords.\n\n{line}\n\n{PACK}## B\n\n{line}\n"
    first, second = recipes(document)
    assert (first.title, len(first.claims)) == ("A pack", 2)
    assert (second.title, len(second.claims)) == ("A pack", 0)


def test_a_recipe_has_the_warnings_below_it() -> None:
    (recipe,) = recipes(f"{PACK}`credits check` warns:\n\n```\none\ntwo\n```\n\n```\nthree\n```\n")
    assert recipe.warnings == ("one", "two")


@pytest.mark.parametrize(
    ("name", "path", "keys"),
    [
        ("order_paid_purchase", "order.metadata.campaign", ("metadata", "campaign")),
        ("order_paid_purchase", "product.metadata.credits", ("product", "metadata", "credits")),
        ("order_paid_subscription_cycle", "subscription.status", ("subscription", "status")),
        ("subscription_cycled", "subscription.status", ("status",)),
        ("subscription_cycled", "customer.name", ("customer", "name")),
        ("customer_created", "customer.name", ("name",)),
    ],
)
def test_a_change_is_made_where_an_expression_sees_it(name: str, path: str, keys: tuple[str, ...]) -> None:
    (body,) = claim_in(f"- On `{name}` with `{path}` = `[7]`: 1 api_usage.").webhooks
    changed, place = json.loads(body), json.loads(payload(name))
    inner = place["data"]
    for key in keys[:-1]:
        inner = inner[key]
    assert inner.get(keys[-1]) != [7]
    inner[keys[-1]] = [7]
    assert changed == place
