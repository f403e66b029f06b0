"""``credits init`` without a terminal: every question has an option, and nothing is overwritten unasked."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from app.demo.polar import Polar
from config.rules import load_rules
from tests.support.builders import PRODUCT
from tests.support.cli_session import NOWHERE, assert_one_line_error, assert_usage_error
from tests.support.processes import SECRET, TEN, TOKEN, Credits
from tests.support.shops import HOOKS, PACK, PLAN, PUBLIC_URL, SETTINGS, YEARLY, shop_in, stocked_polar


@pytest.fixture
def polar() -> Polar:
    """Return an organization with a meter, three products and a token that may do everything."""
    return stocked_polar()


@pytest.fixture
def shop(polar: Polar, redis_url: str, tmp_path: Path) -> Iterator[Credits]:
    """Yield the commands in an empty folder, with the token in the environment."""
    with shop_in(tmp_path, polar, redis_url) as opened:
        yield opened


def env_of(shop: Credits) -> dict[str, str | None]:
    return dotenv_values(shop.folder / ".env")


def files_in(shop: Credits) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in shop.folder.iterdir() if one.is_file()}


def test_an_empty_folder_gets_settings_rules_and_an_endpoint_and_passes_the_check(
    shop: Credits, polar: Polar
) -> None:
    done = shop.run("init", *SETTINGS, *PACK)
    assert done.returncode == 0, done.stdout + done.stderr
    (endpoint,) = polar.endpoints
    assert (endpoint.url, endpoint.events) == (HOOKS, ["order.paid", "order.refunded"])
    assert env_of(shop) == {
        "POLAR_ACCESS_TOKEN": TOKEN,
        "POLAR_SERVER": shop.settings["POLAR_SERVER"],
        "CREDITS_RULES": "rules.yaml",
        "CREDITS_PUBLIC_URL": PUBLIC_URL,
        "POLAR_WEBHOOK_SECRET": endpoint.secret,
    }
    assert stat.S_IMODE((shop.folder / ".env").stat().st_mode) == 0o600
    (rule,) = load_rules(shop.folder / "rules.yaml").rules
    assert rule.products == frozenset({PRODUCT})
    assert "credits up" in done.stdout
    assert endpoint.secret not in done.stdout + done.stderr
    # From now on the folder alone is enough: no variable is needed in the environment.
    alone = Credits(folder=shop.folder, settings={"REDIS_URL": shop.settings["REDIS_URL"]})
    assert {one["level"] for one in alone.json("check")} == {"ok"}


@pytest.mark.parametrize(
    ("options", "events"),
    [
        (("--template", "plan", "--product", PLAN), ["order.paid", "order.refunded"]),
        (("--template", "trial", "--product", "pro plan"), ["order.paid"]),
        (("--template", "yearly", "--product", YEARLY), ["order.paid", "order.refunded"]),
        (("--template", "welcome"), ["customer.created"]),
    ],
)
def test_the_endpoint_gets_exactly_what_the_rule_needs(
    shop: Credits, polar: Polar, options: tuple[str, ...], events: list[str]
) -> None:
    printed = shop.json("init", *SETTINGS, *options, "--units", "50", "--meter", "api_usage")
    assert printed["endpoint"] == {"url": HOOKS, "status": "created", "events": events}
    assert polar.endpoints[0].events == events
    assert shop.run("check", "--offline").returncode == 0


def test_run_again_it_changes_nothing_and_needs_no_option(shop: Credits, polar: Polar) -> None:
    shop.run("init", *SETTINGS, *PACK)
    before, endpoint = files_in(shop), polar.endpoints[0]
    for options in ((), (*SETTINGS, *PACK)):
        printed = shop.json("init", *options)
        assert printed["env"] == {"file": ".env", "added": [], "changed": []}
        assert printed["rules"] == {"file": "rules.yaml", "text": None, "rules": 1}
        assert printed["endpoint"]["status"] == "unchanged"
    assert (files_in(shop), polar.endpoints) == (before, [endpoint])


def test_a_dry_run_shows_everything_and_does_nothing(shop: Credits, polar: Polar) -> None:
    done = shop.run("init", *SETTINGS, *PACK, "--dry-run")
    assert done.returncode == 0
    for words in ("triggers: [purchase]", ".env", "POLAR_WEBHOOK_SECRET", HOOKS, "order.refunded"):
        assert words in done.stdout
    printed = shop.json("init", *SETTINGS, *PACK, "--dry-run")
    assert (printed["dry_run"], printed["endpoint"]["status"]) == (True, "created")
    assert "name: credit-pack" in printed["rules"]["text"]
    assert (files_in(shop), polar.endpoints) == ({}, [])


def test_without_a_terminal_all_missing_options_are_named_at_once(polar: Polar, tmp_path: Path) -> None:
    done = Credits(folder=tmp_path).run("init")
    assert_usage_error(done, "--server, POLAR_ACCESS_TOKEN in the environment or --token-file, --public-url")
    assert_usage_error(done, "--template, --units")
    assert_usage_error(Credits(folder=tmp_path).run("init", "--template", "pack"), "--product, --units")


def test_the_token_may_come_from_a_file_or_standard_input_and_never_from_an_option(
    shop: Credits, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    from_file = shop.with_settings(POLAR_ACCESS_TOKEN="")
    done = from_file.run("init", "--token-file", "token", *SETTINGS, *PACK)
    assert done.returncode == 0, done.stderr
    assert env_of(shop)["POLAR_ACCESS_TOKEN"] == TOKEN
    assert_one_line_error(
        from_file.run("init", "--token-file", "no", *SETTINGS), "--token-file no", "No such"
    )
    assert_one_line_error(from_file.run("init", "--token-file", "-", *SETTINGS), "it is empty")
    (tmp_path / "token").write_text(f"'{TOKEN}'")
    assert_usage_error(from_file.run("init", "--token-file", "token", *SETTINGS), "contains a quotation mark")


def test_an_env_that_exists_is_changed_only_with_yes(shop: Credits, polar: Polar) -> None:
    old = f"SHOP=mine\nPOLAR_ACCESS_TOKEN=polar_oat_of-last-year\nPOLAR_WEBHOOK_SECRET={SECRET}\n"
    (shop.folder / ".env").write_text(old)
    refused = shop.run("init", *SETTINGS, *PACK)
    assert refused.returncode == 2
    assert "CHANGES POLAR_ACCESS_TOKEN, POLAR_WEBHOOK_SECRET" in refused.stdout
    assert "add --yes" in refused.stderr
    assert (files_in(shop), polar.endpoints) == ({".env": old.encode()}, [])
    assert shop.run("init", *SETTINGS, *PACK, "--yes").returncode == 0
    env = env_of(shop)
    assert (env["SHOP"], env["POLAR_ACCESS_TOKEN"]) == ("mine", TOKEN)
    assert env["POLAR_WEBHOOK_SECRET"] == f"{polar.endpoints[0].secret},{SECRET}"


def test_rules_that_exist_are_kept_and_decide_what_the_endpoint_gets(shop: Credits, polar: Polar) -> None:
    text = TEN.replace("name: pack", "name: welcome, triggers: [customer.created]")
    (shop.folder / "mine.yaml").write_text(text)
    assert shop.run("init", *SETTINGS, "--rules", "mine.yaml", *PACK).returncode == 0
    assert (shop.folder / "mine.yaml").read_text() == text
    assert polar.endpoints[0].events == ["customer.created"]
    assert env_of(shop)["CREDITS_RULES"] == "mine.yaml"


def test_an_endpoint_that_misses_events_is_updated_only_with_yes(shop: Credits, polar: Polar) -> None:
    before = polar.add_endpoint(url=HOOKS, secret=SECRET, events=["order.paid", "order.created"])
    assert shop.run("init", *SETTINGS, *PACK).returncode == 2
    assert polar.endpoints == [before]
    assert shop.run("init", *SETTINGS, *PACK, "--yes").returncode == 0
    (after,) = polar.endpoints
    assert (after.id, after.events) == (before.id, ["order.created", "order.paid", "order.refunded"])
    assert env_of(shop)["POLAR_WEBHOOK_SECRET"] == SECRET


def test_the_endpoint_of_a_former_public_url_is_moved_and_keeps_its_secret(
    shop: Credits, polar: Polar
) -> None:
    shop.run("init", *SETTINGS, *PACK)
    (before,) = polar.endpoints
    moved = ("--public-url", "https://another-tunnel.invalid")
    refused = shop.run("init", *moved)
    assert refused.returncode == 2
    assert f"moves here from {HOOKS}" in refused.stdout
    assert shop.run("init", *moved, "--yes").returncode == 0
    (after,) = polar.endpoints
    assert (after.id, after.secret) == (before.id, before.secret)
    assert after.url == "https://another-tunnel.invalid/webhooks/polar"
    assert env_of(shop)["CREDITS_PUBLIC_URL"] == "https://another-tunnel.invalid"


def test_a_meter_is_created_only_if_that_was_asked_for(shop: Credits, polar: Polar) -> None:
    options = (*SETTINGS, *PACK, "--meter", "images")
    assert_usage_error(shop.run("init", *options), "--create-meter creates it")
    assert "images" not in polar.meters
    assert shop.json("init", *options, "--create-meter")["meters"] == ["images"]
    assert polar.meters["images"].counts("images")


def test_a_meter_that_the_rules_have_and_polar_lacks_is_created_later(shop: Credits, polar: Polar) -> None:
    (shop.folder / "rules.yaml").write_text(TEN.replace("api_usage", "images"))
    done = shop.run("init", *SETTINGS)
    assert done.returncode == 1
    assert "images: no meter's filter looks for this name" in done.stdout
    assert shop.run("init", "--create-meter").returncode == 0
    assert sorted(polar.meters) == ["api_usage", "images"]


def test_missing_scopes_are_named_all_at_once_and_nothing_is_done(shop: Credits, polar: Polar) -> None:
    polar.scopes -= {"webhooks:write", "webhooks:read", "products:read"}
    done = shop.run("init", *SETTINGS, *PACK)
    assert_one_line_error(done, "products:read, webhooks:read, webhooks:write", "Settings > Developers")
    assert (files_in(shop), polar.endpoints) == ({}, [])


def test_a_token_of_another_server_is_one_line(shop: Credits, polar: Polar) -> None:
    polar.token = "polar_oat_another"
    done = shop.run("init", *SETTINGS, *PACK)
    assert_one_line_error(done, "refuses the access token", "the sandbox has tokens of its own")


def test_a_polar_that_cannot_be_reached_is_one_line(shop: Credits) -> None:
    done = shop.with_settings(POLAR_SERVER=NOWHERE).run("init", *SETTINGS, *PACK)
    assert_one_line_error(done, "no answer from Polar")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--public-url", "http://localhost:8000", *PACK), "start a tunnel"),
        (("--public-url", "http://credits.example.com", *PACK), "only to https:// URLs"),
        (("--server", "staging", *SETTINGS, *PACK), "write production, sandbox, or a base URL"),
        ((*SETTINGS, "--template", "pack", "--product", "Pro plan", "--units", "1"), "choose plan or trial"),
        (
            (*SETTINGS, "--template", "plan", "--product", "x", "--units", "1"),
            "is named 'x'; Polar has 'Pro plan'",
        ),
        ((*SETTINGS, "--template", "trial", "--product", "pro", "--units", "1"), "several products match"),
        (
            (*SETTINGS, "--template", "credit", "--units", "1"),
            "write one of pack, plan, trial, yearly, welcome",
        ),
        ((*SETTINGS, "--template", "welcome", "--units", "0"), "not a number of credits"),
        ((*SETTINGS, "--template", "welcome", "--product", PRODUCT, "--units", "1"), "takes no product"),
        ((*SETTINGS, *PACK, "--meter", "api_usgae"), "did you mean 'api_usage'?"),
    ],
)
def test_an_option_that_cannot_be_is_refused_and_nothing_is_done(
    shop: Credits, polar: Polar, options: tuple[str, ...], words: str
) -> None:
    assert_usage_error(shop.run("init", *options), words)
    assert (files_in(shop), polar.endpoints) == ({}, [])


def test_without_a_public_url_yet_everything_else_is_done(shop: Credits, polar: Polar) -> None:
    done = shop.run("init", "--public-url", "", *PACK)
    assert done.returncode == 1
    assert "POLAR_WEBHOOK_SECRET is not set" in done.stdout
    assert "credits check first, until it shows no error" in " ".join(done.stdout.split())
    assert polar.endpoints == []
    assert shop.run("init", *SETTINGS).returncode == 0
    assert len(polar.endpoints) == 1


def test_rules_that_cannot_be_used_stop_it_before_anything_is_created(shop: Credits, polar: Polar) -> None:
    (shop.folder / "rules.yaml").write_text("version: 2\n")
    done = shop.run("init", *SETTINGS)
    assert done.returncode == 1
    assert "rules.yaml:1:10" in done.stderr
    assert polar.endpoints == []


def test_json_is_one_object_and_the_rest_goes_to_standard_error(shop: Credits) -> None:
    done = shop.run("init", *SETTINGS, *PACK, "--json")
    printed = json.loads(done.stdout)
    assert "wrote rules.yaml" in done.stderr
    assert {one["what"] for one in printed["findings"] if one["level"] == "warning"} == {"public URL"}
