"""``credits grant``: grant credits by hand, to one customer or to all in a file."""

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from app.cli.batches import run_with_progress
from app.cli.grant_output import print_done, print_previews
from app.cli.options import DryRun, Json, Yes
from app.cli.output import console, literal
from app.cli.progress import show_progress, show_wait
from app.cli.prompts import confirm
from app.cli.settings import read_settings
from app.cli.stores import open_stores
from app.errors import CommandError
from config.rules import load_rules
from workers.operations.manual_grant.csv_file import COLUMNS, read_table
from workers.operations.manual_grant.request import GrantRequest, GrantRequestReader
from workers.operations.manual_grant.run import ManualGranter
from workers.operations.pacing import Pacer
from workers.runtime import granter_for, polar_for

_MOST_PROBLEMS = 100  # with more, it is probably the wrong file

_OPTIONS = {"customer_id": "--customer", "external_customer_id": "--external-customer", "email": "--email"}


def grant(
    *,
    customer: Annotated[
        str, typer.Option("--customer", metavar="ID", help="The customer's id at Polar.")
    ] = "",
    external_customer: Annotated[
        str, typer.Option("--external-customer", metavar="ID", help="Your own id for the customer.")
    ] = "",
    email: Annotated[
        str, typer.Option("--email", metavar="EMAIL", help="The customer's e-mail address.")
    ] = "",
    meter: Annotated[str, typer.Option("--meter", metavar="METER", help="A meter of the rules file.")] = "",
    units: Annotated[
        str, typer.Option("--units", metavar="N", help="How many credits, such as 1000 or 0.5.")
    ] = "",
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="What the credits are for, such as beta-2026.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why; Polar shows it with the event.")] = "",
    create: Annotated[
        bool, typer.Option("--create", help="Create a customer that Polar does not have.")
    ] = False,
    name: Annotated[str, typer.Option("--name", help="With --create: the customer's name.")] = "",
    file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE.csv", help="Grant to every customer in a CSV file.")
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    json: Json = False,
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
    settings = read_settings("grant", quiet=True)
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
        with show_progress(
            "creating customers", json=json or not any(preview.new_customer for preview in todo)
        ) as update:
            created = manual_granter.create(todo, update)
        granter = granter_for(settings, held, lambda: rules)
        outcomes, trouble = run_with_progress(
            manual_granter.grant(todo, created, granter), len(todo), json=json
        )
        standings = manual_granter.standings([request.subject for request in requests])
    reasons = {outcome.delivery_id: outcome.reason for outcome in outcomes}
    done = print_done(previews, standings, reasons, json=json, single=file is None)
    if trouble:
        console(stderr=True).print(literal(trouble))
    if trouble or not done:
        raise typer.Exit(1)


def _one(given: dict[str, str], reader: GrantRequestReader) -> GrantRequest:
    read = reader.read(given)
    if isinstance(read, list):
        raise typer.BadParameter("; ".join(map(_as_options, read)))
    return read


def _as_options(problem: str) -> str:
    """Return a problem with the names of the options in place of the columns."""
    return re.sub(r"\b(external_customer_id|customer_id|email$)", lambda found: _OPTIONS[found[0]], problem)


def _many(file: Path, given: dict[str, str], reader: GrantRequestReader) -> list[GrantRequest]:
    if beside := [column for column, text in given.items() if text]:
        raise typer.BadParameter(f"--from takes everything from the file: leave out {', '.join(beside)}")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}") from None
    table = read_table(content, str(file), reader)
    if table.problems:
        raise _refusal(table.problems)
    return table.requests


def _refusal(problems: Sequence[str]) -> CommandError:
    shown = list(problems[:_MOST_PROBLEMS])
    if len(problems) > _MOST_PROBLEMS:
        shown.append(f"... and {len(problems) - _MOST_PROBLEMS} more")
    return CommandError("\n".join([*shown, "nothing was granted"]) if len(shown) > 1 else shown[0])
