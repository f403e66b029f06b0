"""``credits check`` as a user types it, with a stand-in for Polar that answers over HTTP."""

import json
from importlib.util import find_spec

import pytest

from tests.support.builders import CUSTOMER, some_id
from tests.support.catalogues import ARCHIVED, goods
from tests.support.cli_session import NOWHERE, Desk, assert_one_line_error
from tests.support.processes import TOKEN, Credits

PACK, PLAN, GONE = some_id(1), some_id(2), some_id(3)

SHOP = f"""\
version: 1
meters: {{api_usage: {{}}, images: {{}}}}
rules:
  - {{name: pack, products: [{PACK}], triggers: [purchase], grant: {{api_usage: 10}}}}
  - {{name: plan, products: [{PLAN}, {GONE}], triggers: [subscription_cycle], grant: {{images: 5}}}}
"""


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk whose rules match its organization, except for one missing product."""
    desk.rules(SHOP)
    desk.polar.add_meter("images")
    desk.polar.add_product(**goods("Pack", product_id=PACK))
    desk.polar.add_product(**goods("Plan", product_id=PLAN, every="month"))
    return desk


def findings(here: Credits, *args: str, status: int) -> list[tuple[str, str, str]]:
    done = here.run("check", "--json", *args)
    assert done.returncode == status, done.stdout + done.stderr
    return [(one["level"], one["what"], one["detail"]) for one in json.loads(done.stdout)]


def test_everything_is_ok_when_the_rules_match_the_organization(shop: Desk) -> None:
    shop.polar.add_product(**goods("Late", product_id=GONE))
    found = findings(shop.credits, status=0)
    assert {level for level, _, _ in found} == {"ok"}
    assert [detail for _, what, detail in found if what == "scope"] == [
        "events:write",
        "meters:read",
        "products:read",
        "orders:read",
        "webhooks:read",
        "customers:read",
        "customer_meters:read",
        "customers:write",
    ]
    assert [what for _, what, _ in found].count("meter") == 2
    assert [what for _, what, _ in found].count("product") == 3


def test_it_changes_nothing(shop: Desk) -> None:
    before = shop.memory()
    findings(shop.credits, status=1)
    assert shop.memory() == before
    assert shop.polar.events == []
    assert shop.polar.balance(CUSTOMER, "api_usage") == 0


def test_all_problems_are_shown_at_once_errors_first(shop: Desk) -> None:
    shop.polar.scopes -= {"events:write"}
    usage = shop.polar.add_meter("api_usage", "calls")
    images = shop.polar.add_meter("images", archived_at=ARCHIVED)
    shop.polar.add_product(**goods("Other", product_id=some_id(9), every="year", bills=[usage]))
    shop.polar.add_product(**goods("Old", product_id=some_id(8), every="year", credits_on=[images]))
    here = shop.credits.with_settings(POLAR_WEBHOOK_SECRET="short")

    found = findings(here, status=1)

    levels = [level for level, _, _ in found]
    assert levels == sorted(levels, key=["error", "warning", "ok"].index)
    grave = [(level, what) for level, what, _ in found if level != "ok"]
    assert grave == [
        ("error", "secret"),
        ("error", "scope"),
        ("error", "meter"),
        ("error", "meter"),
        ("error", "product"),
        ("warning", "product"),
        ("warning", "product"),
    ]
    details = " ".join(detail for _, _, detail in found)
    for words in (
        "events:write is missing",
        "sums 'calls' and not 'units'",
        "'images' is archived",
        f"{GONE} in rule plan: the token's organization has no such product",
        "'Other' has a metered price on api_usage",
        "'Old' has Polar's own Credits benefit on images",
    ):
        assert words in details


def test_a_double_credit_is_a_warning_not_an_error(shop: Desk) -> None:
    shop.polar.add_product(
        **goods("Late", product_id=GONE, every="month", credits_on=[shop.polar.meters["images"]])
    )
    found = [one for one in findings(shop.credits, status=0) if one[0] != "ok"]
    ((level, what, detail),) = found
    assert (level, what) == ("warning", "product")
    assert "and so does rule plan: customers are credited twice" in detail


def test_without_json_the_findings_are_printed_as_a_table(shop: Desk) -> None:
    done = shop.credits.run("check")
    assert (done.returncode, done.stderr) == (1, "")
    first = done.stdout.splitlines()[0].split()
    assert first[:3] == ["error", "product", GONE]


def test_the_scopes_are_checked_even_if_the_rules_are_broken(shop: Desk) -> None:
    shop.rules(SHOP.replace("images: 5", "image: 5"))
    shop.polar.scopes -= {"products:read"}
    found = findings(shop.credits, status=1)
    assert [(level, what) for level, what, _ in found if level != "ok"] == [
        ("error", "rules"),
        ("warning", "scope"),
    ]


def test_a_token_of_another_server_is_one_error(shop: Desk) -> None:
    shop.polar.token = "polar_oat_of-this-server"
    found = findings(shop.credits, status=1)
    assert [(level, what) for level, what, _ in found if level != "ok"] == [("error", "token")]
    assert not {"meter", "product", "scope"} & {what for _, what, _ in found}


@pytest.mark.parametrize(
    ("server", "what", "words"),
    [
        (NOWHERE, "polar", "reachable from here?"),
        ("the receiver's", "server", "Polar answered 404"),
    ],
)
def test_a_server_that_is_not_polar_is_one_error(shop: Desk, server: str, what: str, words: str) -> None:
    url = shop.url if server == "the receiver's" else server
    found = findings(shop.credits.with_settings(POLAR_SERVER=url), status=1)
    ((_, said_of, detail),) = [one for one in found if one[0] == "error"]
    assert (said_of, words in detail) == (what, True)


@pytest.mark.parametrize("server", ["http://polar..example", "http://xn--", "http://polar\x7f.example"])
def test_an_invalid_host_name_is_one_error(shop: Desk, server: str) -> None:
    (error,) = findings(shop.credits.with_settings(POLAR_SERVER=server), status=1)
    assert error[:2] == ("error", "settings")
    assert error[2].startswith("POLAR_SERVER: write production, sandbox, or a base URL")


@pytest.mark.skipif(bool(find_spec("socksio")), reason="such a proxy can be used here")
def test_a_server_behind_an_unusable_proxy_is_one_error(shop: Desk) -> None:
    desk = shop.credits.with_settings(ALL_PROXY="socks5://127.0.0.1:9", POLAR_SERVER="http://polar.example")
    found = findings(desk, status=1)
    assert [(what, detail) for level, what, detail in found if level == "error"] == [
        ("network", "ALL_PROXY: a SOCKS proxy needs the package socksio: install it, or name an HTTP proxy")
    ]


def test_nothing_starts_with_a_proxy_that_cannot_be_used(shop: Desk) -> None:
    here = shop.credits.with_settings(HTTP_PROXY="http://proxy:port")
    assert_one_line_error(here.run("work"), "HTTP_PROXY: it is not the URL of a proxy")


def test_a_rate_limit_says_how_long_to_wait(shop: Desk) -> None:
    shop.polar.requests_per_minute = 0
    (error,) = [one for one in findings(shop.credits, status=1) if one[0] == "error"]
    assert error[1:] == (
        "polar",
        "nothing can be granted: Polar's rate limit is reached; check again in 60 s",
    )


def test_without_a_token_polar_is_not_contacted(shop: Desk) -> None:
    found = findings(shop.credits.with_settings(POLAR_ACCESS_TOKEN=""), status=1)
    assert [what for level, what, _ in found if level == "error"] == ["token"]
    assert shop.polar.received == []


@pytest.mark.parametrize("secret", ["whsec_0123456789abcdef", "polar_whs_0123456789abcdef"])
def test_a_secret_set_as_the_token_is_one_error(shop: Desk, secret: str) -> None:
    found = findings(shop.credits.with_settings(POLAR_ACCESS_TOKEN=secret), status=1)
    ((_, what, detail),) = [one for one in found if one[0] == "error"]
    assert (what, "belongs in POLAR_WEBHOOK_SECRET" in detail) == ("token", True)
    assert secret not in detail
    assert shop.polar.received == []


def test_a_token_set_as_the_secret_is_one_error(shop: Desk) -> None:
    shop.polar.add_product(**goods("Late", product_id=GONE))
    found = findings(shop.credits.with_settings(POLAR_WEBHOOK_SECRET=TOKEN), status=1)
    ((_, what, detail),) = [one for one in found if one[0] == "error"]
    assert (what, "belongs in POLAR_ACCESS_TOKEN" in detail) == ("secret", True)


def test_nothing_starts_with_token_and_secret_mixed_up(shop: Desk) -> None:
    for wrong in ({"POLAR_ACCESS_TOKEN": "whsec_0123456789abcdef"}, {"POLAR_WEBHOOK_SECRET": TOKEN}):
        assert_one_line_error(shop.credits.with_settings(**wrong).run("up"), "belongs in")


def test_a_misspelt_setting_is_a_warning(shop: Desk) -> None:
    (shop.credits.folder / ".env").write_text(
        "CREDITS_RETIAN=5d\nPOLAR_TOKEN=x\nPOLAR_SUCCESS_URL=https://shop.example\nSHOP_NAME=x\n"
    )
    here = shop.credits.with_settings(CREDITS_ALERTS="x", POLAR_WEBHOOK_SECRETS="of another tool")
    found = findings(here, "--offline", status=0)
    assert [detail for level, what, detail in found if level == "warning"] == [
        ".env: unknown setting 'CREDITS_RETIAN'; did you mean 'CREDITS_RETAIN'?",
        ".env: unknown setting 'POLAR_TOKEN'; did you mean 'POLAR_ACCESS_TOKEN'?",
        "environment: unknown setting 'CREDITS_ALERTS'; did you mean 'CREDITS_ALERT_URL'?",
    ]


@pytest.mark.parametrize(
    ("scope", "command"),
    [
        ("orders:read", "credits backfill"),
        ("webhooks:read", "credits recover"),
        ("customer_meters:read", "credits balance"),
        ("customers:write", "credits grant --create"),
    ],
)
def test_a_missing_scope_that_one_command_needs_is_a_warning(shop: Desk, scope: str, command: str) -> None:
    shop.polar.add_product(**goods("Late", product_id=GONE))
    shop.polar.scopes -= {scope}
    ((level, what, detail),) = [one for one in findings(shop.credits, status=0) if one[0] != "ok"]
    assert (level, what) == ("warning", "scope")
    assert detail.startswith(f"{scope} is missing, so `{command}`")
    assert len(shop.polar.customers) == 1


def test_a_command_that_polar_denies_refers_to_credits_check(shop: Desk) -> None:
    shop.polar.scopes -= {"orders:read"}
    done = shop.credits.run("backfill", "--since", "7d")
    assert_one_line_error(done, "Polar answered 403", "`credits check` says what to do")


def test_offline_polar_is_not_contacted(shop: Desk) -> None:
    assert {level for level, _, _ in findings(shop.credits, "--offline", status=0)} == {"ok"}
    assert shop.polar.received == []


def test_polar_is_checked_even_if_redis_is_away(shop: Desk) -> None:
    found = findings(shop.credits.with_settings(REDIS_URL="redis://127.0.0.1:9"), status=1)
    assert [what for level, what, _ in found if level == "error"] == ["redis", "product"]
