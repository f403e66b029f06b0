"""What ``credits init`` finds at Polar: meters that can hold credits, products, endpoints, missing scopes."""

import pytest

from app.demo.polar import Polar
from app.demo.polar.organization import SETUP_SCOPES
from config.rules import Meter
from tests.support.builders import some_id
from tests.support.catalogues import ARCHIVED, COUNT, both, clause, goods
from tests.support.polar_standin import client_of
from workers.errors import PolarDeniedError
from workers.operations.init.shop import Shop, read_shop

URL = "https://credits.example.com"
HOOKS = f"{URL}/webhooks/polar"


@pytest.fixture
def standin() -> Polar:
    """Return an organization whose token has every scope."""
    return Polar(scopes=SETUP_SCOPES)


def shop_of(standin: Polar, *, public_url: str | None = URL, creates_meter: bool = False) -> Shop:
    with client_of(standin) as client:
        return read_shop(client, public_url=public_url, creates_meter=creates_meter)


def test_only_meters_that_count_all_our_events_are_offered_each_name_once(standin: Polar) -> None:
    standin.add_meter("API usage", filter=both(clause("name", "eq", "api_usage")))
    standin.add_meter("the same again", filter=both(clause("name", "eq", "api_usage")))
    standin.add_meter("counted", aggregation=COUNT)
    standin.add_meter("old", archived_at=ARCHIVED)
    standin.add_meter("narrow", filter=both(clause("name", "eq", "narrow"), clause("plan", "eq", "pro")))
    standin.add_meter("x" * 129)
    standin.add_meter("line\nbreak")
    standin.add_meter("seconds", "length")
    standin.add_meter("reserved", "order_id")
    found = shop_of(standin).meters
    assert [(one.meter, one.title) for one in found] == [
        (Meter(name="api_usage"), "API usage"),
        (Meter(name="seconds", property="length"), "seconds"),
    ]


def test_a_meter_is_lacking_where_none_at_polar_could_hold_its_credits(standin: Polar) -> None:
    standin.add_meter("fine")
    standin.add_meter("counted", aggregation=COUNT)
    standin.add_meter("narrow", filter=both(clause("name", "eq", "narrow"), clause("plan", "eq", "pro")))
    shop = shop_of(standin)
    lacking = {name for name in ("fine", "counted", "narrow", "new") if shop.lacks(Meter(name=name))}
    assert lacking == {"counted", "new"}
    assert shop.lacks(Meter(name="fine", property="tokens"))


def test_archived_products_are_not_offered(standin: Polar) -> None:
    standin.add_product(**goods("Old", product_id=some_id(1), is_archived=True))
    standin.add_product(**goods("New", product_id=some_id(2), every="month"))
    assert [(one.name, one.recurring_interval) for one in shop_of(standin).products] == [("New", "month")]


def test_of_several_endpoints_with_our_url_an_enabled_one_is_ours(standin: Polar) -> None:
    for url, enabled in (
        (HOOKS, False),
        (f"{HOOKS}/", True),
        ("https://other.example.com/webhooks/polar", True),
    ):
        standin.add_endpoint(url=url, secret="whsec_x", events=[], enabled=enabled)
    shop = shop_of(standin)
    ours = shop.our_endpoint(URL)
    assert ours is not None
    assert (ours.url, ours.enabled) == (f"{HOOKS}/", True)
    assert shop.our_endpoint("https://new.example.com") is None


def test_an_endpoint_that_signs_with_our_secret_is_ours_wherever_it_leads(standin: Polar) -> None:
    old = standin.add_endpoint(url=HOOKS, secret="whsec_ours", events=[])
    standin.add_endpoint(url="https://shop.example.com/webhooks/polar", secret="whsec_another", events=[])
    found = shop_of(standin).our_endpoint("https://new.example.com", ["whsec_older", "whsec_ours"])
    assert found is not None
    assert found.id == str(old.id)


def test_every_missing_scope_is_noted_at_once_and_nothing_is_created(standin: Polar) -> None:
    standin.scopes = frozenset({"orders:read"})
    shop = shop_of(standin, creates_meter=True)
    assert shop.missing_scopes == (
        "events:write",
        "meters:read",
        "products:read",
        "webhooks:read",
        "webhooks:write",
        "meters:write",
    )
    assert (standin.endpoints, standin.meters) == ([], {})


def test_trying_the_scopes_creates_nothing(standin: Polar) -> None:
    assert shop_of(standin, creates_meter=True).missing_scopes == ()
    assert (standin.endpoints, standin.meters, standin.events) == ([], {}, [])


@pytest.mark.parametrize("public_url", [None, URL])
def test_without_an_endpoint_to_create_the_scope_for_it_is_not_needed(
    standin: Polar, public_url: str | None
) -> None:
    standin.add_endpoint(url=HOOKS, secret="whsec_x", events=[])
    standin.scopes -= {"webhooks:write", "meters:write"}
    assert shop_of(standin, public_url=public_url).missing_scopes == ()


def test_a_refused_token_is_an_error_of_its_own(standin: Polar) -> None:
    standin.token = "polar_oat_another"
    with pytest.raises(PolarDeniedError) as caught:
        shop_of(standin)
    assert caught.value.status == 401
