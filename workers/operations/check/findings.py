"""Pure: what is to be said of Polar's meters and products in the light of the rules."""

from collections.abc import Iterable, Iterator

from config.rules import Meter, Rule, Rules, Trigger
from config.wording import joined, quoted
from workers.core.findings import Finding, Level
from workers.polar.catalogue import Listed, PolarMeter, PolarProduct, Products
from workers.polar.meter_match import closest_matches, similar_name

# What happens to subscriptions alone; what is sold once leads to purchases alone.
_OF_SUBSCRIPTIONS = frozenset(one for one in Trigger if one.startswith(("subscription", "trial")))


def check_meters(rules: Rules, meters: Listed[PolarMeter]) -> Iterator[Finding]:
    """Yield for each meter of the rules whether Polar would count credits on it."""
    for wanted in rules.meters.values():
        level, words = _meter(wanted, meters)
        yield Finding(level=level, what="meter", detail=f"{wanted.name}: {words}")
    if meters.unread:
        detail = f"Polar has {meters.unread} more, which were not read"
        yield Finding(level="warning", what="meter", detail=detail)


def check_products(rules: Rules, products: Products) -> Iterator[Finding]:
    """Yield for each product that rules name whether it can be bought."""
    known = {one.id: one for one in products.items}
    for product_id in sorted(named_products(rules)):
        where = f"in {_words(rule for rule in rules.rules if product_id in (rule.products or ()))}"
        if product_id in known:
            level, words = _product(known[product_id], where)
        elif product_id in products.missing:
            level, words = _missing(product_id, where)
        else:
            level, words = "warning", f"{product_id} {where}: not looked for, since so many are not there"
        yield Finding(level=level, what="product", detail=words)
    if products.unread:
        detail = f"Polar has {products.unread} more, which were not read: they may reset meters, too"
        yield Finding(level="warning", what="product", detail=detail)


def check_conflicts(
    rules: Rules, products: Iterable[PolarProduct], meters: Iterable[PolarMeter]
) -> Iterator[Finding]:
    """Yield where a product works against the credits of the rules."""
    holding = _holding_credits(rules, list(meters))
    for product in products:
        if product.is_archived and not product.is_recurring:
            continue  # nobody buys it any more
        for meter, ids in holding.items():
            for words in _conflicts(rules, product, meter, ids):
                yield Finding(level="warning", what="product", detail=f"{quoted(product.name)} {words}")


def named_products(rules: Rules) -> frozenset[str]:
    """Return the ids of the products that rules name."""
    return frozenset(product_id for rule in rules.rules for product_id in rule.products or ())


def _meter(wanted: Meter, meters: Listed[PolarMeter]) -> tuple[Level, str]:
    make = f"make one that filters by this name and sums {quoted(wanted.property)}"
    found = closest_matches(wanted, meters.items)
    if not found:
        close = similar_name(wanted, meters.items)
        hint = f"did you mean {quoted(close)}? Else {make}" if close else make
        return "warning" if meters.unread else "error", f"no meter's filter looks for this name; {hint}"
    best = found[0]
    words = "; ".join(best.faults + best.doubts) or f"sums {quoted(wanted.property)}"
    level: Level = "error" if best.faults else "warning" if best.doubts else "ok"
    return level, f"the meter {quoted(best.meter.name)} {words}"


def _product(product: PolarProduct, where: str) -> tuple[Level, str]:
    title = f"{quoted(product.name)} ({product.id}) {where}"
    if product.is_archived:
        return "warning", f"{title} is archived: nobody new can buy it; name its successor as well"
    return "ok", title


def _missing(product_id: str, where: str) -> tuple[Level, str]:
    hint = "copy the id from Polar's dashboard again (on the sandbox it is another one)"
    return "error", f"{product_id} {where}: the token's organization has no such product; {hint}"


def _holding_credits(rules: Rules, meters: list[PolarMeter]) -> dict[str, frozenset[str]]:
    """Return the ids of the meters at Polar that hold what rules credit, by the meter's name in the rules."""
    credited = sorted({name for rule in rules.rules for name in rule.grant})
    return {
        name: frozenset(one.meter.id for one in closest_matches(rules.meters[name], meters))
        for name in credited
    }


def _conflicts(rules: Rules, product: PolarProduct, meter: str, ids: frozenset[str]) -> Iterator[str]:
    granting = [rule for rule in rules.rules if meter in rule.grant and _is_for(rule, product)]
    has_benefit = bool(ids & product.credited_meters)
    if has_benefit and granting:
        yield (
            f"credits {meter} by Polar's own Credits benefit, and so does {_words(granting)}: customers are "
            f"credited twice; detach the benefit from the product, or take {meter} out of the rule"
        )
    elif has_benefit and product.is_recurring:
        yield (
            f"has Polar's own Credits benefit on {meter}: each cycle sets its customers' meter back, and "
            "what rules credited is lost; detach the benefit, or grant on another meter"
        )
    if ids & product.billed_meters and product.is_recurring:
        yield (
            f"has a metered price on {meter}: each cycle sets its customers' meter back, and what rules "
            "credited before is lost; take that price off, or grant on a meter that no price bills"
        )


def _is_for(rule: Rule, product: PolarProduct) -> bool:
    possible = _OF_SUBSCRIPTIONS if product.is_recurring else {Trigger.PURCHASE}
    return (rule.products is None or product.id in rule.products) and bool(rule.triggers & possible)


def _words(rules: Iterable[Rule]) -> str:
    names = [rule.name for rule in rules]
    return f"rule{'s' if len(names) > 1 else ''} {joined(names)}"
