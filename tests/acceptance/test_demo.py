"""``credits demo``, the first command that a newcomer runs: it works, and says so if it does not."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from app.cli.root import root
from app.demo import harness
from tests.support.paths import ROOT
from tests.support.processes import Credits, eventually, processes

BALANCES = {"api_usage": 1100, "image_generations": 20}

# The demo's own rules, except that a purchase grants one unit too few.
WRONG_RULES = """\
version: 1
meters: {api_usage: {}, image_generations: {}}
rules:
  - {name: credit-pack, triggers: [purchase], grant: {api_usage: 99, image_generations: 20}}
  - {name: monthly-plan, triggers: [subscription_cycle], grant: {api_usage: 1000}}
"""


@pytest.fixture
def newcomer(tmp_path: Path) -> Credits:
    """Return the command without any settings."""
    return Credits(folder=tmp_path, settings={"TMPDIR": str(tmp_path)})


def test_the_demo_shows_each_webhook_and_the_balance(newcomer: Credits) -> None:
    done = newcomer.run("demo")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line[:5] for line in lines if line.startswith(("ok", "BAD"))] == [f"ok  {n}" for n in range(1, 7)]
    balances = [line.split()[:2] for line in lines if line.endswith("correct")]
    assert balances == [["api_usage", "1,100"], ["image_generations", "20"]]
    told = [line.split()[:2] for line in lines if line.endswith("credit.granted")]
    assert told == [["api_usage", "100"], ["image_generations", "20"], ["api_usage", "1,000"]]
    assert "Every order was credited exactly once." in done.stdout


def lines_without_times(output: str) -> list[str]:
    text = re.sub(r"Next: \S+ init (.*); \S+ up", r"Next: credits init \1; credits up", output.strip())
    return [re.sub(r"in \d+ ms$", "in N ms", line.rstrip()) for line in text.splitlines()]


@pytest.mark.heavy
def test_the_readme_shows_what_the_demo_prints(newcomer: Credits) -> None:
    (shown,) = re.findall(
        r"^```\n\$ make demo\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert lines_without_times(newcomer.run("demo").stdout) == lines_without_times(shown)


@pytest.mark.heavy
def test_the_demo_prints_the_same_as_json(newcomer: Credits) -> None:
    report = newcomer.json("demo")
    assert (report["right"], report["balances"], report["expected"]) == (True, BALANCES, BALANCES)
    answers = [(scene["answer"], scene["outcome"].partition(":")[0]) for scene in report["scenes"]]
    assert answers == [
        ("202 accepted", "granted"),
        ("202 duplicate", ""),
        ("202 accepted", "skipped"),
        ("202 accepted", "granted"),
        ("403 invalid_signature", "nothing stored"),
        ("200 granted", "told the same by credit events"),
    ]
    assert [event["type"] for event in report["events"]] == ["credit.granted"] * 3


@pytest.mark.heavy
def test_the_users_settings_do_not_reach_the_demo(newcomer: Credits) -> None:
    (newcomer.folder / ".env").write_text("CREDITS_RULES=gone.yaml\nPOLAR_SERVER=production\n")
    mine = newcomer.with_settings(REDIS_URL="redis://127.0.0.1:9", PORT="1", POLAR_ACCESS_TOKEN="mine")
    assert mine.json("demo")["right"] is True


@pytest.mark.heavy
def test_the_demo_leaves_nothing_behind(newcomer: Credits) -> None:
    newcomer.json("demo")
    folder = str(newcomer.folder)
    eventually(lambda: not [process for process in processes() if folder in process.command])
    assert not list(newcomer.folder.iterdir())


@pytest.mark.heavy
def test_a_demo_with_a_wrong_balance_says_so_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service really credits another amount here: only the balance can show it."""
    (tmp_path / "rules.yaml").write_text(WRONG_RULES)
    monkeypatch.setattr(harness, "files", lambda _package: tmp_path)
    done = CliRunner().invoke(root, ["demo"])
    assert done.exit_code == 1
    assert "BAD" not in done.stdout.split("The customer's balance")[0]
    assert "1,099   WRONG, expected 1,100" in done.stdout
    assert "Something is wrong" in done.stdout


@pytest.mark.heavy
def test_json_says_that_a_demo_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is credited here, so the outcomes of webhooks are wrong too."""
    (tmp_path / "rules.yaml").write_text("version: 1\nmeters: {}\nrules: []\n")
    monkeypatch.setattr(harness, "files", lambda _package: tmp_path)
    done = CliRunner().invoke(root, ["demo", "--json"])
    report = json.loads(done.stdout)
    assert (done.exit_code, report["right"]) == (1, False)
    assert [scene["right"] for scene in report["scenes"]] == [False, True, True, False, True, False]
    assert report["balances"] == {"api_usage": 0, "image_generations": 0}
