"""What ``REDIS_URL`` leads to, before anybody connects."""

import pytest

from config.errors import ConfigError
from workers.runtime import connect


@pytest.mark.parametrize("option", ["foo=bar", "socket_timeout=soon", "db=first", "ssl_ca_certs=/ca.pem"])
def test_an_option_that_redis_does_not_know_is_refused_in_words_without_the_password(option: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL: its options") as refused:
        connect(f"redis://user:s3cret@host:6379/0?{option}")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["rediss://host:6379/0?ssl_ca_certs=/ca.pem", "redis://host?health_check_interval=3"]
)
def test_an_option_that_redis_knows_is_taken(url: str) -> None:
    connect(url).close()
