"""What ``REDIS_URL`` leads to, before anybody connects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import ConfigError
from config.settings import Settings
from workers.store.connect import connect, intake_for


@pytest.mark.parametrize("option", ["foo=bar", "socket_timeout=soon", "db=first", "ssl_ca_certs=/ca.pem"])
def test_an_unknown_option_is_refused_without_showing_the_password(option: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL: its options") as refused:
        connect(f"redis://user:s3cret@host:6379/0?{option}")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["rediss://host:6379/0?ssl_ca_certs=/ca.pem", "redis://host?health_check_interval=3"]
)
def test_a_known_option_is_accepted(url: str) -> None:
    connect(url).close()


@given(text=st.text(st.sampled_from(":/@#?[]%=&.0a\u2100"), max_size=12))
def test_the_client_accepts_every_url_that_the_settings_accept(text: str) -> None:
    """A URL that passes the settings raises nothing but ConfigError when the client is created."""
    try:
        url = Settings(_env_file=None, REDIS_URL=f"redis://{text}").require_redis_url()
    except ValueError:
        return
    try:
        connect(url).close()
    except ConfigError:
        return
    intake_for(url)
