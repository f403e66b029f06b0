"""The commands as a user types them: starting, checking, sending, and their errors."""

import json
import subprocess
import sys

import pytest

from app.cli.commands import COMMANDS
from config.samples import SAMPLES
from tests.support.builders import CUSTOMER, some_id
from tests.support.cli_session import (
    NOBODY,
    NOWHERE,
    Desk,
    assert_one_line_error,
    assert_usage_error,
    purchase,
    strangers_purchase,
)
from tests.support.processes import TEN, Credits
from tests.support.recordings import PAYLOADS, payload


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_help_of_every_command_shows_an_example(alone: Credits, command: str) -> None:
    done = alone.run(command, "--help")
    assert done.returncode == 0
    assert f"Example: credits {command}" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["grnat"], "No such command"),
        (["status", "--loud"], "No such option"),
        (["show"], "Missing argument"),
        (["work", "--workers", "0"], "--workers"),
        (["deliveries", "--status", "lost"], "'lost' is not one of waiting, granted, skipped, failed"),
        (["deliveries", "--since", "soon"], "--since"),
        (["deliveries", "--limit", "0"], "--limit"),
        (["send"], "give either a file or --sample NAME"),
        (["send", "rules.yaml", "--sample", "purchase"], "give either a file or --sample NAME"),
        (["send", "rules.yaml", "--customer", CUSTOMER], "use --set for a file"),
        (["send", "--sample", "purchase", "--product", "foo"], "Invalid value for '--product'"),
        (["send", "--sample", "gift"], "no sample 'gift'; there are purchase,"),
        (["replay"], "give either the ids of deliveries, or --failed"),
        (["replay", "some-id", "--failed"], "give either the ids of deliveries, or --failed"),
    ],
    ids=" ".join,
)
def test_a_usage_error_is_reported_with_exit_status_2(alone: Credits, args: list[str], words: str) -> None:
    assert_usage_error(alone.run(*args), words)


# 32 characters that Python's UUID() takes for an id of its own: for another customer.
MISTYPED = "99130a7b_29f640039a8121b0361c7186"[:32]


@pytest.mark.parametrize(
    "args",
    [
        ["balance", "--customer"],
        ["forget", "--yes", "--customer"],
        ["grant", "--meter", "api_usage", "--units", "5", "--key", "beta", "--customer"],
        ["grants", "--customer"],
        ["grants", "--order"],
        ["revoke"],
        ["send", "--sample", "purchase", "--customer"],
        ["send", "--sample", "purchase", "--order"],
        ["send", "--sample", "purchase", "--product"],
    ],
    ids=" ".join,
)
def test_a_mistyped_id_is_never_taken_for_another(alone: Credits, args: list[str]) -> None:
    done = alone.run(*args, MISTYPED)
    assert done.returncode == 2
    assert f"'{MISTYPED}' is not a" in " ".join(done.stderr.split())


def test_an_unknown_process_is_reported_and_runs_nothing(alone: Credits) -> None:
    command = [sys.executable, "-P", "-m", "app.processes", "wroker"]
    # It would end as soon as its standard input does.
    with subprocess.Popen(
        command, cwd=alone.folder, env=alone._environment(), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert (
            process.stderr.read()
            == b"unknown process 'wroker': choose receiver, api, worker, background or events\n"
        )
        assert process.wait() == 1


@pytest.mark.parametrize("command", ["serve", "work"])
def test_a_receiver_or_worker_on_its_own_needs_a_shared_redis(alone: Credits, command: str) -> None:
    assert_one_line_error(alone.run(command), "REDIS_URL is not set", "credits up")


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        ("up", "POLAR_WEBHOOK_SECRET"),
        ("up", "POLAR_ACCESS_TOKEN"),
        ("serve", "POLAR_WEBHOOK_SECRET"),
        ("work", "POLAR_ACCESS_TOKEN"),
        ("send --sample purchase", "POLAR_WEBHOOK_SECRET"),
    ],
)
def test_a_missing_setting_is_a_one_line_error_that_says_where_to_find_it(
    alone: Credits, redis_url: str, command: str, missing: str
) -> None:
    here = alone.with_settings(REDIS_URL=redis_url, **{missing: ""})
    assert_one_line_error(here.run(*command.split()), f"{missing} is not set", "Polar's dashboard")


@pytest.mark.parametrize("command", ["up", "work", "replay --all"])
def test_missing_rules_are_a_one_line_error(alone: Credits, redis_url: str, command: str) -> None:
    here = alone.with_settings(REDIS_URL=redis_url, CREDITS_RULES="gone.yaml")
    assert_one_line_error(here.run(*command.split()), "gone.yaml", "CREDITS_RULES")


@pytest.mark.parametrize("command", ["up", "work"])
def test_nothing_starts_on_broken_rules(alone: Credits, redis_url: str, command: str) -> None:
    (alone.folder / "rules.yaml").write_text(TEN.replace("api_usage: 10", "api_usage: -10"))
    done = alone.with_settings(REDIS_URL=redis_url).run(command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "rules.yaml:4:" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("REDIS_URL", "http://redis"), ("POLAR_SERVER", "staging"), ("LOG_LEVEL", "loud")],
)
def test_an_invalid_setting_is_named(alone: Credits, name: str, value: str) -> None:
    assert_one_line_error(alone.with_settings(**{name: value}).run("status"), name)


def test_an_unreachable_redis_is_a_one_line_error_without_its_password(alone: Credits) -> None:
    here = alone.with_settings(REDIS_URL="redis://:open-sesame@127.0.0.1:9/0")
    done = here.run("deliveries")
    assert_one_line_error(done, "Redis", "REDIS_URL")
    assert "open-sesame" not in done.stderr


def test_settings_are_read_from_an_env_file(alone: Credits) -> None:
    (alone.folder / ".env").write_text("PORT=from-the-file\n")
    assert_one_line_error(alone.with_settings(PORT="").run("status"), "PORT")


def test_check_confirms_a_correct_setup(desk: Desk) -> None:
    done = desk.credits.run("check", "--offline")
    assert done.returncode == 0
    findings = desk.credits.json("check", "--offline")
    assert {one["level"] for one in findings} == {"ok"}
    assert {"token", "secret", "rules", "redis"} <= {one["what"] for one in findings}


@pytest.mark.parametrize(
    "args",
    [
        ["check"],
        ["status"],
        ["deliveries"],
        ["show", "{delivery}"],
        ["explain", "{delivery}"],
        ["explain", "--customer", CUSTOMER],
        ["explain", "--sample", "purchase"],
        ["grants"],
        ["balance", "--customer", CUSTOMER],
        ["replay", "--all", "--yes"],
        ["dismiss", "{delivery}"],
        ["backfill", "--since", "1d", "--yes"],
        ["recover", "--since", "1d", "--yes"],
        ["rebuild", "--yes"],
        ["grant", "--customer", CUSTOMER, "--meter", "api_usage", "--units", "1", "--key", "k"],
        ["revoke", some_id(1)],
        ["forget", "--customer", CUSTOMER, "--yes"],
        ["rules", "schema"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_json_has_the_standard_output_for_itself(desk: Desk, args: list[str]) -> None:
    (failed,) = desk.grant(strangers_purchase())
    desk.grant(purchase(1))
    noisy = desk.credits.with_settings(LOG_LEVEL="debug", LOG_FORMAT="json")
    done = noisy.run(*(each.format(delivery=failed) for each in args), "--json")
    json.loads(done.stdout)
    for line in done.stderr.splitlines():
        assert not line.startswith("{") or list(json.loads(line))[:3] == ["timestamp", "level", "event"]


def test_check_lists_every_problem_at_once(desk: Desk) -> None:
    desk.rules(TEN.replace("api_usage: 10", "api_usge: 10") + "  - {name: pack, grant: {api_usage: 0}}\n")
    here = desk.credits.with_settings(
        POLAR_ACCESS_TOKEN="", POLAR_WEBHOOK_SECRET="", REDIS_URL="redis://127.0.0.1:9"
    )
    done = here.run("check", "--offline")
    assert done.returncode == 1
    for words in (
        "unknown meter 'api_usge'; did you mean 'api_usage'?",
        "rules.yaml:4:",
        "rules.yaml:5:",
        "duplicate",
        "POLAR_ACCESS_TOKEN is not set",
        "POLAR_WEBHOOK_SECRET is not set",
        "Connection refused",
    ):
        assert words in done.stdout


def test_check_prints_the_same_as_json(desk: Desk) -> None:
    desk.rules(TEN.replace("api_usage: 10", "api_usge: 10"))
    done = desk.credits.run("check", "--offline", "--json")
    assert done.returncode == 1
    assert [one["what"] for one in json.loads(done.stdout) if one["level"] == "error"] == ["rules"]


def test_send_delivers_a_file_byte_for_byte(desk: Desk) -> None:
    file = str(PAYLOADS / "order_paid_unicode_tax.json")
    done = desk.credits.run("send", file, "--id", "one")
    assert (done.returncode, done.stdout.split()) == (
        0,
        ["202", "delivery", "one", "disposition", "accepted"],
    )
    assert desk.credits.json("show", "one")["body"].encode() == payload("order_paid_unicode_tax")


def test_send_shows_the_receivers_answer(desk: Desk) -> None:
    send = ["send", "--sample", "purchase", "--id", "one"]
    assert desk.credits.json(*send) == {
        "status": 202,
        "answer": {"delivery": "one", "disposition": "accepted"},
        "delivery": None,
    }
    assert desk.credits.json(*send)["answer"]["disposition"] == "duplicate"


@pytest.mark.parametrize("name", SAMPLES)
def test_the_receiver_accepts_every_sample(desk: Desk, name: str) -> None:
    ignored = {"customer.state_changed", "customer.deleted"}  # the latter unless CREDITS_FORGET_DELETED=1
    disposition = "ignored" if name in ignored else "accepted"
    assert desk.credits.json("send", "--sample", name)["answer"]["disposition"] == disposition


def test_a_sample_uses_the_given_customer_and_product(desk: Desk) -> None:
    desk.rules(NOBODY)
    sample = ["send", "--sample", "purchase", "--customer", CUSTOMER]
    assert desk.credits.run(*sample, "--product", some_id(1)).returncode == 0
    assert desk.credits.run(*sample).returncode == 0
    assert desk.credits.run("work", "--burst").returncode == 0
    assert desk.polar.balance(CUSTOMER, "api_usage") == 10


def test_a_sample_is_sent_with_changed_fields(desk: Desk) -> None:
    assert (
        desk.credits.run("send", "--sample", "purchase", "--id", "m", "--set", "order.seats=7").returncode
        == 0
    )
    assert json.loads(desk.credits.json("show", "m")["body"])["data"]["seats"] == 7


def test_a_rejected_webhook_gives_exit_status_1(desk: Desk) -> None:
    here = desk.credits.with_settings(POLAR_WEBHOOK_SECRET="whsec_of-another-endpoint")
    done = here.run("send", "--sample", "purchase")
    assert (done.returncode, done.stdout[:3]) == (1, "403")
    assert "invalid_signature" in done.stdout


def test_send_can_wait_and_report_the_outcome(desk: Desk) -> None:
    send = ["send", "--sample", "purchase", "--wait"]
    with desk.credits.running("work"):
        done = desk.credits.run(*send, "--customer", CUSTOMER)
        assert (done.returncode, done.stdout.splitlines()[1]) == (0, "granted  10 api_usage")
        refused = desk.credits.run(*send, "--customer", some_id(999))
        assert (refused.returncode, refused.stdout.splitlines()[1][:25]) == (1, "failed  refused by Polar:")
        ignored = desk.credits.json("send", "--sample", "customer.state_changed", "--wait")
        assert ignored["delivery"] is None
        report = desk.credits.json(*send, "--customer", CUSTOMER)["delivery"]
        assert (report["status"], report["reason"]) == ("granted", "10 api_usage")


def test_send_says_when_no_receiver_answers(alone: Credits) -> None:
    url = f"{NOWHERE}/webhooks/polar"
    done = alone.run("send", "--sample", "purchase", "--url", url)
    assert_one_line_error(done, f"no answer from {url}", "credits up")


def test_send_names_a_missing_file(alone: Credits) -> None:
    assert_one_line_error(alone.run("send", "gone.json"), "gone.json: No such file or directory")


def test_send_refunds_the_given_order(desk: Desk) -> None:
    done = desk.credits.run("send", "--sample", "order.refunded", "--order", some_id(1), "--id", "one")
    assert done.returncode == 0
    assert json.loads(desk.credits.json("show", "one")["body"])["data"]["id"] == some_id(1)
