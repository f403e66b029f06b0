"""Signing secrets as people paste them: which are refused, and that the message shows none of their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.pasted_secrets import find_secret_problems, split_secrets
from config.setting_fields import read_fields
from config.settings import ReceiverSettings

GOOD = "whsec_0123456789abcdef"


def problem(secret: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_fields(ReceiverSettings, {"POLAR_WEBHOOK_SECRET": secret}).require_secrets()
    text = str(caught.value)
    assert text.startswith("POLAR_WEBHOOK_SECRET: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("secret", "words"),
    [
        (f'"{GOOD}"', "quotation mark"),
        (f"'{GOOD}'", "quotation mark"),
        (f"\u201c{GOOD}\u201d", "quotation mark"),
        (f"{GOOD} # live", "comment"),
        (f"{GOOD} live", "blank"),
        (f"{GOOD}\t{GOOD}", "blank"),
        (f"{GOOD}\n{GOOD}", "line break"),
        (f"\u200b{GOOD}", "invisible"),
        (f"\ufeff{GOOD}", "invisible"),
        (f"{GOOD}\x00", "invisible"),
        ("typed by hand in ключ-ключ".replace(" ", "-"), "non-ASCII"),
        (f"POLAR_WEBHOOK_SECRET={GOOD}", "NAME="),
        (f"={GOOD}", "NAME="),
        (f"{GOOD};{GOOD}", "semicolon"),
        ("whsec_xx", "fewer than 16"),
        ("whsec_0123456789abcde", "fewer than 16"),
        ("polar_whs_0123456789abcde", "fewer than 16"),
        ("hunter2", "fewer than 16"),
        ("v1", "fewer than 16"),
    ],
)
def test_a_damaged_or_weak_secret_is_refused_with_what_is_wrong(secret: str, words: str) -> None:
    text = problem(secret)
    assert words in text
    assert "generate it anew" in text
    assert not any(piece in text for piece in ("0123456789", "hunter2", "ключ"))


def test_one_bad_secret_of_several_stops_all_and_is_counted() -> None:
    assert "secret 2 of 3 contains a semicolon" in problem(f"{GOOD}, {GOOD};x, {GOOD}")


def test_a_phrase_with_commas_is_not_taken_for_several_short_secrets() -> None:
    """Each piece of it would be a key that others could guess."""
    text = problem("correct,horse-battery-staple-and-more")
    assert "secret 1 of 2 has fewer than 16 characters" in text
    assert "correct" not in text


@pytest.mark.parametrize(
    "secret",
    [
        GOOD,
        "polar_whs_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2Laa+==",
        "a-phrase-that-a-merchant-typed/before.2026",
    ],
)
def test_every_form_that_polar_has_had_is_accepted(secret: str) -> None:
    settings = read_fields(ReceiverSettings, {"POLAR_WEBHOOK_SECRET": secret})
    assert settings.require_secrets() == (secret,)


@given(text=st.text(max_size=60))
def test_whatever_is_accepted_can_be_split_again_and_has_no_weak_piece(text: str) -> None:
    secrets = split_secrets(text)
    if not list(find_secret_problems(secrets)):
        assert split_secrets(",".join(secrets)) == secrets
        assert all(len(secret) >= 16 for secret in secrets)
