"""``credits grant``: grant credits by hand, to one customer or to all in a file."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from app.cli.batches import Outcomes, run_with_progress
from app.cli.grant_output import print_done, print_previews
from app.cli.options import dry_run_option, json_option, yes_option
from app.cli.output import console, literal
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import load_rules
from workers.operations.manual_grant.csv_file import COLUMNS, read_table
from workers.operations.manual_grant.preview import GrantPreview
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader
from workers.operations.manual_grant.run import ManualGranter
from workers.operations.pacing import Pacer
from workers.pipeline.granter import Granter
from workers.runtime.granting import granter_for
from workers.runtime.polar import polar_for

_MOST_PROBLEMS = 100  # with more, it is probably the wrong file

_OPTIONS = {"customer_id": "--customer", "external_customer_id": "--external-customer", "email": "--email"}


@click.command("grant")
@click.option("--customer", default="", metavar="ID", help="The customer's id at Polar.")
@click.option("--external-customer", default="", metavar="ID", help="Your own id for the customer.")
@click.option("--email", default="", metavar="EMAIL", help="The customer's e-mail address.")
@click.option("--meter", default="", metavar="METER", help="A meter of the rules file.")
@click.option("--units", default="", metavar="N", help="How many credits, such as 1000 or 0.5.")
@click.option("--key", default="", metavar="KEY", help="What the credits are for, such as beta-2026.")
@click.option("--reason", default="", help="Why; Polar shows it with the event.")
@click.option("--create", is_flag=True, help="Create a customer that Polar does not have.")
@click.option("--name", default="", help="With --create: the customer's name.")
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Grant to every customer in a CSV file.",
)
@dry_run_option
@yes_option
@json_option
def grant(
    *,
    customer: str,
    external_customer: str,
    email: str,
    meter: str,
    units: str,
    key: str,
    reason: str,
    create: bool,
    name: str,
    file: Path | None,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Grant credits by hand, to one customer or to many.

    The key says what the credits are for. A customer gets the credits of a key only once on each meter, so
    the command may be repeated. Another amount under the same key is refused. Name a customer in the same
    way each time: an id and an e-mail address count as two customers.

    The first line of a file names its columns: customer_id, external_customer_id or email; meter, units,
    key; optionally reason; with --create also email and name. The whole file is checked before anything is
    granted. After an interruption, run the command again. On a terminal it asks first.

    Example: credits grant --email ada@example.com --meter api_usage --units 500 --key beta-2026

    Example: credits grant --from beta-testers.csv --create --dry-run
    """
    settings = read_settings("grant")
    rules = load_rules(settings.rules_path)
    reader = GrantRequestReader(meters=rules.meters, create_missing=create)
    given = dict(
        zip(COLUMNS, (customer, external_customer, email, name, meter, units, key, reason), strict=True)
    )
    requests = [_one(given, reader)] if file is None else _many(file, given, reader)
    with closing(polar_for(settings)) as polar, open_stores(settings) as held:
        manual_granter = ManualGranter(
            stores=held, polar=polar, pacer=Pacer(throttle=held.throttle, show_wait=show_wait)
        )
        with show_progress("looking for customers", json=json) as update:
            previews, problems = manual_granter.preview(requests, create_missing=create, on_progress=update)
        if problems:
            raise _refusal(problems)
        if dry_run or not json:
            print_previews(previews, json=json, single=file is None)
        todo = [preview for preview in previews if not preview.is_done]
        # A script needs no --yes: the keys keep a second run from granting twice.
        if dry_run or (todo and not confirm("grant these credits", yes=yes, scripts_may=True)):
            return
        outcomes, trouble = _run(manual_granter, todo, granter_for(settings, held, lambda: rules), json=json)
        standings = manual_granter.standings([request.subject for request in requests])
    reasons = {outcome.delivery_id: outcome.reason for outcome in outcomes}
    done = print_done(previews, standings, reasons, json=json, single=file is None)
    if trouble:
        console(stderr=True).print(literal(trouble))
    if trouble or not done:
        raise click.exceptions.Exit(1)


def _one(given: dict[str, str], reader: GrantRequestReader) -> GrantRequest:
    read = reader.read(given)
    if isinstance(read, list):
        raise click.UsageError("; ".join(map(_as_options, read)))
    return read


def _as_options(problem: str) -> str:
    """Return a problem with the names of the options in place of the columns."""
    return re.sub(r"\b(external_customer_id|customer_id|email$)", lambda found: _OPTIONS[found[0]], problem)


def _many(file: Path, given: dict[str, str], reader: GrantRequestReader) -> list[GrantRequest]:
    if beside := [column for column, text in given.items() if text]:
        raise click.UsageError(f"--from takes everything from the file: leave out {', '.join(beside)}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    table = read_table(content, str(file), reader)
    if table.problems:
        raise _refusal(table.problems)
    return table.requests


def _run(
    manual_granter: ManualGranter, todo: Sequence[GrantPreview], granter: Granter, *, json: bool
) -> tuple[Outcomes, str]:
    is_silent = json or not any(preview.new_customer for preview in todo)
    with show_progress("creating customers", json=is_silent) as update:
        created = manual_granter.create(todo, update)
    return run_with_progress(manual_granter.grant(todo, created, granter), len(todo), json=json)


def _refusal(problems: Sequence[str]) -> CommandError:
    shown = list(problems[:_MOST_PROBLEMS])
    if len(problems) > _MOST_PROBLEMS:
        shown.append(f"... and {len(problems) - _MOST_PROBLEMS} more")
    return CommandError("\n".join([*shown, "nothing was granted"]) if len(shown) > 1 else shown[0])
