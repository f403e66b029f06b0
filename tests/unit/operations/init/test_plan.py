"""What ``credits init`` does, interrupted anywhere and run again: one endpoint, and its secret is kept."""

from itertools import islice
from pathlib import Path

import pytest
from dotenv import dotenv_values
from msgspec.structs import replace

from app.demo.polar import Polar, WebhookEndpoint
from app.demo.polar.organization import SETUP_SCOPES
from config.rules import Meter
from tests.support.builders import rule, rules_of
from tests.support.polar_standin import TOKEN, client_of
from workers.errors import PolarDeniedError, PolarUnreachableError
from workers.operations.init.endpoint import plan_endpoint
from workers.operations.init.plan import Plan, describe_plan, execute
from workers.operations.init.shop import read_shop

URL = "https://credits.example.com"
HOOKS = f"{URL}/webhooks/polar"
NEEDED = {"order.paid", "order.refunded"}
TEXT = "version: 1\nmeters: {api_usage: {}}\nrules:\n  - {name: pack, grant: {api_usage: 1}}\n"


@pytest.fixture
def standin() -> Polar:
    """Return an organization whose token has every scope."""
    return Polar(scopes=SETUP_SCOPES)


def plan_for(standin: Polar, folder: Path) -> Plan:
    """Return the plan that the command makes for a folder, as it is now."""
    path, env = folder / "rules.yaml", folder / ".env"
    with client_of(standin) as client:
        shop = read_shop(client, public_url=URL, creates_meter=True)
    meter = Meter(name="api_usage")
    return Plan(
        env_path=env,
        env={"POLAR_ACCESS_TOKEN": TOKEN, "CREDITS_PUBLIC_URL": URL},
        secret_set=dotenv_values(env).get("POLAR_WEBHOOK_SECRET"),
        rules_path=path,
        rules=rules_of(rule("pack", {"api_usage": 1})),
        rules_text=None if path.exists() else TEXT,
        new_meters=(meter,) if shop.lacks(meter) else (),
        endpoint=plan_endpoint(shop.our_endpoint(URL), public_url=URL, needed=NEEDED),
    )


def run(standin: Polar, folder: Path, steps: int | None = None) -> list[str]:
    """Carry out a plan as far as ``steps``; return what was told."""
    with client_of(standin) as client:
        return list(islice(execute(plan_for(standin, folder), client), steps))


def secret_in(folder: Path) -> str | None:
    return dotenv_values(folder / ".env").get("POLAR_WEBHOOK_SECRET")


def test_all_that_is_missing_is_written_and_created(standin: Polar, tmp_path: Path) -> None:
    told = run(standin, tmp_path)
    (endpoint,) = standin.endpoints
    assert (endpoint.url, endpoint.format, set(endpoint.events)) == (HOOKS, "raw", NEEDED)
    assert secret_in(tmp_path) == endpoint.secret
    assert list(standin.meters) == ["api_usage"]
    assert standin.meters["api_usage"].counts("api_usage")
    assert (tmp_path / "rules.yaml").read_text() == TEXT
    assert len(told) == 5
    assert endpoint.secret not in "".join(told)


@pytest.mark.parametrize("steps", range(6))
def test_interrupted_after_any_step_and_run_again_it_ends_the_same(
    standin: Polar, tmp_path: Path, steps: int
) -> None:
    run(standin, tmp_path, steps)
    run(standin, tmp_path)
    (endpoint,) = standin.endpoints
    assert secret_in(tmp_path) == endpoint.secret
    assert list(standin.meters) == ["api_usage"]
    assert plan_for(standin, tmp_path).is_done
    assert run(standin, tmp_path) == []


def test_the_secret_of_an_endpoint_whose_creation_was_the_last_thing_done_is_read_from_polar(
    standin: Polar, tmp_path: Path
) -> None:
    with client_of(standin) as client:
        client.create_endpoint(url=HOOKS, events=["order.paid"])
    run(standin, tmp_path)
    (endpoint,) = standin.endpoints
    assert secret_in(tmp_path) == endpoint.secret
    assert set(endpoint.events) == NEEDED


def test_an_env_that_cannot_be_written_leaves_no_endpoint_behind(standin: Polar, tmp_path: Path) -> None:
    plan = replace(plan_for(standin, tmp_path), env_path=tmp_path / "no such folder" / ".env")
    with pytest.raises(FileNotFoundError), client_of(standin) as client:
        list(execute(plan, client))
    assert standin.endpoints == []


def endpoint_at_polar(standin: Polar, **fields: object) -> WebhookEndpoint:
    usual = {"url": HOOKS, "secret": "whsec_of-the-endpoint-1", "events": [*NEEDED, "customer.created"]}
    return standin.add_endpoint(**{**usual, **fields})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"enabled": False}, "is enabled again"),
        ({"format": "slack"}, "gets the format raw instead of slack"),
        ({"events": ["order.paid", "customer.created"]}, "also gets order.refunded"),
    ],
)
def test_an_endpoint_that_lacks_something_is_changed_in_that_alone(
    standin: Polar, tmp_path: Path, fields: dict[str, object], words: str
) -> None:
    before = endpoint_at_polar(standin, **fields)
    plan = plan_for(standin, tmp_path)
    assert plan.changes_existing
    assert words in dict(describe_plan(plan))["webhook endpoint"]
    run(standin, tmp_path)
    (after,) = standin.endpoints
    assert (after.enabled, after.format, set(after.events)) == (True, "raw", {*NEEDED, "customer.created"})
    assert (after.id, after.secret, after.url) == (before.id, before.secret, before.url)


def test_an_endpoint_that_is_right_needs_no_scope_to_write(standin: Polar, tmp_path: Path) -> None:
    standin.add_meter("api_usage")
    endpoint = endpoint_at_polar(standin)
    standin.scopes -= {"webhooks:write"}
    run(standin, tmp_path)
    assert standin.endpoints == [endpoint]
    assert secret_in(tmp_path) == endpoint.secret


@pytest.mark.parametrize("scope", ["webhooks:write", "meters:write"])
def test_a_scope_that_is_missing_only_now_is_named_and_what_was_written_stays(
    standin: Polar, tmp_path: Path, scope: str
) -> None:
    endpoint_at_polar(standin, enabled=False)
    standin.scopes -= {scope}
    with pytest.raises(PolarDeniedError, match=f"give the token the scope {scope}"):
        run(standin, tmp_path)
    assert dotenv_values(tmp_path / ".env")["POLAR_ACCESS_TOKEN"] == TOKEN


def test_what_exists_and_would_differ_is_named_and_no_value_is_shown(standin: Polar, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "POLAR_ACCESS_TOKEN=polar_oat_old\nPOLAR_WEBHOOK_SECRET=whsec_the-older-one-of-two\n"
    )
    endpoint = endpoint_at_polar(standin)
    plan = plan_for(standin, tmp_path)
    assert plan.env_changes.added == ("CREDITS_PUBLIC_URL",)
    assert plan.env_changes.changed == ("POLAR_ACCESS_TOKEN", "POLAR_WEBHOOK_SECRET")
    assert plan.changes_existing
    shown = " ".join(text for row in describe_plan(plan) for text in row)
    assert "CHANGES POLAR_ACCESS_TOKEN, POLAR_WEBHOOK_SECRET" in shown
    for value in ("polar_oat_", "whsec_"):
        assert value not in shown
    run(standin, tmp_path)
    assert secret_in(tmp_path) == f"{endpoint.secret},whsec_the-older-one-of-two"


def test_a_polar_that_hides_the_secret_is_said(standin: Polar, tmp_path: Path) -> None:
    endpoint_at_polar(standin)
    plan = plan_for(standin, tmp_path)
    assert plan.endpoint is not None
    assert plan.endpoint.existing is not None
    hidden = plan.endpoint.existing.model_copy(update={"secret": None})
    hiding = replace(plan, endpoint=replace(plan.endpoint, existing=hidden))
    with (
        pytest.raises(PolarUnreachableError, match="copy it from its dashboard"),
        client_of(standin) as client,
    ):
        list(execute(hiding, client))
