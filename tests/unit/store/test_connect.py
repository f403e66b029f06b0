"""What ``REDIS_URL`` leads to, before anybody connects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Connection

from config.errors import ConfigError
from config.redis_urls import RedisOptions
from config.setting_fields import read_fields
from config.settings import Settings
from workers.store.connect import connect, most_connections
from workers.store.connect_async import intake_for


@pytest.mark.parametrize("option", ["foo=bar", "socket_timeout=soon", "db=first", "ssl_ca_certs=/ca.pem"])
@pytest.mark.parametrize("form", ["redis://me:s3cret@host/0", "redis+sentinel://me:s3cret@host:1/shop"])
def test_an_unknown_option_is_refused_without_showing_the_password(form: str, option: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL: its options") as refused:
        connect(f"{form}?{option}")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "rediss://host:6379/0?ssl_ca_certs=/ca.pem",
        "redis://host?health_check_interval=3",
        "redis+sentinel://host:26379/shop?health_check_interval=3",
        "rediss+sentinel://host:26379/shop?ssl_ca_certs=/ca.pem",
    ],
)
def test_a_known_option_is_accepted(url: str) -> None:
    connect(url).close()


@given(
    scheme=st.sampled_from(["redis", "redis+sentinel"]),
    text=st.text(st.sampled_from(":/@#?[]%=&.0a\u2100"), max_size=12),
)
def test_the_client_accepts_every_url_that_the_settings_accept(scheme: str, text: str) -> None:
    """A URL that passes the settings raises nothing but ConfigError when the client is created."""
    try:
        url = read_fields(Settings, {"REDIS_URL": f"{scheme}://{text}"}).require_redis_url()
    except ConfigError:
        return
    try:
        connect(url).close()
    except ConfigError:
        return
    intake_for(url)


@pytest.mark.parametrize("command", ["SCRIPT LOAD", "EVALSHA"])
@pytest.mark.parametrize(
    "url", ["redis://host", "rediss://host", "unix:///a.sock", "redis+sentinel://host:1/shop"]
)
def test_the_receiver_packs_commands_in_c_as_redis_py_packs_them(url: str, command: str) -> None:
    pool = intake_for(url)._redis.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    args = ("id", b"\x00\xff", 7, 0.5, "\u20ac", "long" * 2000)
    (packed,) = connection.pack_command(command, *args)  # redis-py's own packer returns several pieces
    assert packed == b"".join(Connection().pack_command(command, *args))


@pytest.mark.parametrize(
    ("connections", "receiver", "api", "worker"),
    [(4, 3, 4, 3), (6, 4, 5, 3), (7, 5, 5, 3), (13, 7, 13, 3), (20, 7, 13, 3), (1000, 7, 13, 3)],
)
def test_no_process_opens_more_connections_than_the_setting_allows_or_than_it_can_use(
    connections: int, receiver: int, api: int, worker: int
) -> None:
    options = RedisOptions(connections=connections)
    of_each = [most_connections(options, **{kind: 1}) for kind in ("receivers", "apis", "workers")]
    assert of_each == [receiver, api, worker]
    assert max(of_each) <= connections
    assert most_connections(options, receivers=2, apis=1, workers=3) == 2 * receiver + api + 3 * worker
    assert most_connections(options, workers=1, senders=1) == worker + 1
