"""Checks Polar's meters and products against the rules."""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from config.rules import Meter, Rule, Rules, Trigger
from config.wording import joined, quoted
from workers.core.clocks import LARGEST_DIFFERENCE, describe_difference
from workers.core.findings import Finding, Level
from workers.polar.catalogue import Listed, PolarMeter, PolarProduct, Products
from workers.polar.meter_match import closest_matches, similar_name

# Only subscription products cause these triggers; a product sold once causes only purchases.
_SUBSCRIPTION_TRIGGERS = frozenset(one for one in Trigger if one.startswith(("subscription", "trial")))


def check_meters(rules: Rules, meters: Listed[PolarMeter]) -> Iterator[Finding]:
    """Yield a finding for each meter of the rules: whether Polar counts credits on it."""
    for wanted in rules.meters.values():
        level, text = _check_meter(wanted, meters)
        yield Finding(level=level, what="meter", detail=f"{wanted.name}: {text}")
    if meters.unread:
        detail = f"Polar has {meters.unread} more meters, which were not read"
        yield Finding(level="warning", what="meter", detail=detail)


def check_clock(ahead: timedelta | None) -> Iterator[Finding]:
    """Yield a finding on how far our clock is ahead of Polar's, which dates and signs the webhooks."""
    if ahead is None:
        return
    problem = describe_difference(ahead, "Polar's")
    if problem is None:
        yield Finding(level="ok", what="clock", detail="agrees with Polar's")
    elif abs(ahead) < LARGEST_DIFFERENCE:
        detail = f"{problem}; set it (NTP): from 5 minutes on, a receiver on this host refuses every webhook"
        yield Finding(level="warning", what="clock", detail=detail)
    else:
        detail = f"{problem}, so a receiver on this host refuses every webhook as stale; set it (NTP)"
        yield Finding(level="error", what="clock", detail=detail)


def check_products(rules: Rules, products: Products) -> Iterator[Finding]:
    """Yield a finding for each product that the rules name: whether it exists and can be bought."""
    known = {one.id: one for one in products.items}
    for product_id in sorted(named_products(rules)):
        where = f"in {_rule_names(rule for rule in rules.rules if product_id in (rule.products or ()))}"
        if product_id in known:
            level, text = _check_product(known[product_id], where)
        elif product_id in products.missing:
            level, text = _missing_product(product_id, where)
        else:
            level, text = (
                "warning",
                f"{product_id} {where}: not checked, because too many products are missing",
            )
        yield Finding(level=level, what="product", detail=text)
    if products.unread:
        detail = f"Polar has {products.unread} more products, which were not read; they may reset meters too"
        yield Finding(level="warning", what="product", detail=detail)


def check_conflicts(
    rules: Rules, products: Iterable[PolarProduct], meters: Iterable[PolarMeter]
) -> Iterator[Finding]:
    """Yield each product that doubles or resets the credits of the rules: an error beside instalments."""
    meter_ids = _ids_of_credited_meters(rules, list(meters))
    for product in products:
        if product.is_archived and not product.is_recurring:
            continue  # nobody can buy it anymore
        for meter, ids in meter_ids.items():
            for level, text in _conflicts(rules, product, meter, ids):
                yield Finding(level=level, what="product", detail=f"{quoted(product.name)} {text}")


def named_products(rules: Rules) -> frozenset[str]:
    """Return the ids of the products that rules name."""
    return frozenset(product_id for rule in rules.rules for product_id in rule.products or ())


def _check_meter(wanted: Meter, meters: Listed[PolarMeter]) -> tuple[Level, str]:
    advice = f"create one that filters by this name and sums {quoted(wanted.property)}"
    found = closest_matches(wanted, meters.items)
    if not found:
        close = similar_name(wanted, meters.items)
        hint = f"did you mean {quoted(close)}? Otherwise {advice}" if close else advice
        return "warning" if meters.unread else "error", f"no meter's filter looks for this name; {hint}"
    best = found[0]
    text = "; ".join(best.faults + best.doubts) or f"sums {quoted(wanted.property)}"
    level: Level = "error" if best.faults else "warning" if best.doubts else "ok"
    return level, f"the meter {quoted(best.meter.name)} {text}"


def _check_product(product: PolarProduct, where: str) -> tuple[Level, str]:
    title = f"{quoted(product.name)} ({product.id}) {where}"
    if product.is_archived:
        return "warning", f"{title} is archived, so no new customer can buy it; add its successor to the rule"
    return "ok", title


def _missing_product(product_id: str, where: str) -> tuple[Level, str]:
    hint = "copy the id from Polar's dashboard again (the sandbox has ids of its own)"
    return "error", f"{product_id} {where}: the token's organization has no such product; {hint}"


def _ids_of_credited_meters(rules: Rules, meters: list[PolarMeter]) -> dict[str, frozenset[str]]:
    """Return the ids of Polar's meters that count each credited meter of the rules, by its name there."""
    credited = sorted({name for rule in rules.rules for name in rule.grant})
    return {
        name: frozenset(one.meter.id for one in closest_matches(rules.meters[name], meters))
        for name in credited
    }


def _conflicts(
    rules: Rules, product: PolarProduct, meter: str, ids: frozenset[str]
) -> Iterator[tuple[Level, str]]:
    granting = [rule for rule in rules.rules if meter in rule.grant and _can_credit(rule, product)]
    repeated = [rule for rule in granting if rule.every]
    level: Level = "error" if repeated else "warning"
    has_benefit = bool(ids & product.credited_meters)
    if has_benefit and granting:
        yield (
            level,
            f"credits {meter} through Polar's own Credits benefit, and so does {_rule_names(granting)}: "
            "customers are credited twice; detach the benefit from the product, or remove "
            f"{meter} from the rule",
        )
    elif has_benefit and product.is_recurring:
        yield (
            "warning",
            f"has Polar's own Credits benefit on {meter}: {_reset(product)}, "
            "and credits from the rules are lost; detach the benefit, or grant on another meter",
        )
    if ids & product.billed_meters and product.is_recurring:
        yield (
            level if product.meter_interval else "warning",
            f"has a metered price on {meter}: {_reset(product)}, and credits "
            "from the rules are lost; remove that price, or grant on a meter that no price bills",
        )
    elif repeated and not has_benefit and _may_concern(product, ids):
        yield (
            "error",
            f"has a meter period of its own ({_meter_period(product)}), and {_rule_names(repeated)} credits "
            f"{meter} every {repeated[0].every}: remove the meter period from the "
            "product, or `every` from the rule",
        )


def _may_concern(product: PolarProduct, ids: frozenset[str]) -> bool:
    """Return whether the product's own meter period may concern these meters: it names no others."""
    return product.meter_interval is not None and not (product.credited_meters | product.billed_meters) - ids


def _reset(product: PolarProduct) -> str:
    if product.meter_interval is None:
        return "each cycle resets the meter of its customers"
    return f"its meter period resets the meter of its customers {_meter_period(product)}, without any webhook"


def _meter_period(product: PolarProduct) -> str:
    count = product.meter_interval_count or 1
    return f"every {product.meter_interval}" if count == 1 else f"every {count} {product.meter_interval}s"


def _can_credit(rule: Rule, product: PolarProduct) -> bool:
    possible = _SUBSCRIPTION_TRIGGERS if product.is_recurring else {Trigger.PURCHASE}
    return (rule.products is None or product.id in rule.products) and bool(rule.effective_triggers & possible)


def _rule_names(rules: Iterable[Rule]) -> str:
    names = [rule.name for rule in rules]
    return f"rule{'s' if len(names) > 1 else ''} {joined(names)}"
