"""``credits init``: from a token to settings, rules and a webhook endpoint."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import click
from dotenv import dotenv_values

from app.cli.check import find_all, findings_json
from app.cli.init.output import plan_json, print_next_steps, print_plan, print_result
from app.cli.init.questions import tell
from app.cli.init.rules import RuleOptions, first_rules
from app.cli.init.settings import (
    SettingOptions,
    ask_for_token,
    complete_settings,
    is_asking,
    missing_options,
    server_name,
)
from app.cli.options import dry_run_option, json_option, yes_option
from app.cli.output import print_json
from app.cli.progress import show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.errors import CommandError
from config.rules import Rules, load_rules, parse_rules
from config.settings import ENV_FILE, Settings
from config.wording import joined
from workers.core.envelope import ORDER_PAID
from workers.errors import PolarDeniedError
from workers.operations.check.endpoint import needed_webhooks
from workers.operations.init.endpoint import EndpointPlan, plan_endpoint
from workers.operations.init.plan import Plan, execute
from workers.operations.init.reach import check_reach
from workers.operations.init.shop import Shop, read_shop
from workers.polar.client import Polar
from workers.runtime.polar import polar_for

_RULES_FILE = Path("rules.yaml")


@click.command("init")
@click.option(
    "--server", default="", metavar="NAME", help="Polar's server: sandbox, production, or a base URL."
)
@click.option(
    "--token-file",
    default="",
    metavar="FILE",
    help="A file with the access token, if it is not in the environment; -: stdin.",
)
@click.option("--public-url", metavar="URL", help="Where Polar reaches the receiver; empty: no endpoint yet.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The rules file; one that exists is kept.",
)
@click.option(
    "--template", default="", metavar="KIND", help="The first rule: pack, plan, trial, yearly or welcome."
)
@click.option("--product", multiple=True, metavar="ID", help="Its product, by id or name; may be repeated.")
@click.option(
    "--meter", default="", metavar="NAME", help="Its meter: the event name that the meter looks for."
)
@click.option("--create-meter", is_flag=True, help="Create meters that the rules need and Polar lacks.")
@click.option("--units", default="", metavar="N", help="Its credits, such as 1000.")
@dry_run_option
@yes_option
@json_option
def init(
    *,
    server: str,
    token_file: str,
    public_url: str | None,
    rules: Path | None,
    template: str,
    product: tuple[str, ...],
    meter: str,
    create_meter: bool,
    units: str,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Set everything up: the settings, a first rule, and the webhook endpoint at Polar.

    It asks for what neither an option nor .env says. Then it writes .env and the rules file, creates the
    endpoint with the events that the rules need, stores its secret, and runs `credits check`. It keeps what
    exists, and asks before it changes any of it. After an interruption, run it again.

    The token is read from POLAR_ACCESS_TOKEN, --token-file or a hidden prompt, never from an option, which
    other users of the host could see.

    Example: credits init

    Example: credits init --template pack --product "Starter pack" --units 1000 --dry-run
    """
    options = SettingOptions(server=server, token_file=token_file, public_url=public_url)
    rule = RuleOptions(template=template, products=tuple(product or ()), meter=meter, units=units)
    settings = read_settings("init")
    path = rules or _usual_rules(settings)
    if not is_asking():
        _refuse_if_incomplete(settings, options, rule, path)
    settings = complete_settings(settings, options)
    settings, polar, shop = _open_shop(settings, creates_meter=create_meter)
    with closing(polar):
        rules_text = (
            None if path.exists() else first_rules(rule, shop, _now(polar), create_meter=create_meter)
        )
        creates_meters = create_meter or (is_asking() and (rules_text is not None or not yes))
        plan = _plan(settings, path, rules_text, shop, creates_meters=creates_meters)
        planned = plan_json(plan, dry_run=dry_run)
        if not json:
            print_plan(plan, dry_run=dry_run)
        elif dry_run:
            print_json(planned)
        if dry_run:
            return
        if not _is_confirmed(plan, yes=yes):
            tell("Nothing was written or created.")
            return
        for line in execute(plan, polar):
            tell(line)
    found = [*find_all(wait=_wait), *check_reach(settings.public_url)]
    has_errors = any(one.level == "error" for one in found)
    if json:
        print_json({**planned, "findings": findings_json(found)})
    else:
        print_result(found)
        print_next_steps(plan, has_errors=has_errors)
    if has_errors:
        raise click.exceptions.Exit(1)


def _is_confirmed(plan: Plan, *, yes: bool) -> bool:
    """Ask a person. A script needs ``--yes`` only if something that exists would change."""
    return plan.is_done or confirm("write and create this", yes=yes, scripts_may=not plan.changes_existing)


def _usual_rules(settings: Settings) -> Path:
    return settings.rules_path_set or _RULES_FILE


def _refuse_if_incomplete(
    settings: Settings, options: SettingOptions, rule: RuleOptions, rules_path: Path
) -> None:
    lacking = list(missing_options(settings, options))
    if not rules_path.exists():
        lacking += rule.missing()
    if lacking:
        raise click.UsageError(f"there is no terminal to ask on: also give {', '.join(lacking)}")


def _open_shop(settings: Settings, *, creates_meter: bool) -> tuple[Settings, Polar, Shop]:
    """Return what Polar has, and the client that read it; a person may correct a token that it refuses."""
    while True:
        polar = polar_for(settings, wait=_wait)
        try:
            shop = read_shop(polar, public_url=settings.public_url, creates_meter=creates_meter)
        except PolarDeniedError as error:
            polar.close()
            problem = _refused_token(settings, error)
            if not is_asking():
                raise CommandError(problem) from None
            tell(problem)
            settings = replace(settings, access_token=ask_for_token(settings))
            continue
        if shop.missing_scopes:
            polar.close()
            raise CommandError(
                f"the token lacks {joined(shop.missing_scopes)}: add that in Polar's dashboard "
                "(Settings > Developers), then run credits init again"
            )
        return settings, polar, shop


def _refused_token(settings: Settings, error: PolarDeniedError) -> str:
    if error.status != HTTPStatus.UNAUTHORIZED:
        raise error
    return (
        f"{settings.polar_server} refuses the access token: it has expired, was revoked, or belongs to "
        "another server (the sandbox has tokens of its own)"
    )


def _now(polar: Polar) -> datetime:
    """Return the time by Polar's clock, which dates the orders."""
    return datetime.now(UTC) - (polar.clock_ahead or timedelta())


def _plan(settings: Settings, path: Path, text: str | None, shop: Shop, *, creates_meters: bool) -> Plan:
    rules = load_rules(path) if text is None else parse_rules(text, str(path))
    present = dotenv_values(ENV_FILE, encoding="utf-8-sig", interpolate=False)
    return Plan(
        env_path=Path(ENV_FILE),
        env=_env(settings, path),
        secret_set=present.get("POLAR_WEBHOOK_SECRET"),
        rules_path=path,
        rules=rules,
        rules_text=text,
        new_meters=tuple(one for one in rules.meters.values() if creates_meters and shop.lacks(one)),
        endpoint=_endpoint_plan(settings, rules, shop),
    )


def _env(settings: Settings, rules_path: Path) -> dict[str, str]:
    known = {
        "POLAR_ACCESS_TOKEN": settings.require_token(),
        "POLAR_SERVER": server_name(settings),
        "CREDITS_RULES": str(rules_path),
    }
    return known | ({"CREDITS_PUBLIC_URL": settings.public_url} if settings.public_url else {})


def _endpoint_plan(settings: Settings, rules: Rules, shop: Shop) -> EndpointPlan | None:
    if settings.public_url is None:
        return None
    needed = needed_webhooks(rules, forgets_deleted=settings.forget_deleted) or {ORDER_PAID}
    existing = shop.our_endpoint(settings.public_url, settings.webhook_secrets)
    return plan_endpoint(existing, public_url=settings.public_url, needed=needed)


def _wait(seconds: float) -> None:
    show_wait(seconds, "its rate limit is reached")
