"""Runs nginx and Caddy with the files in ``deploy/``, on ports of the test, before a receiver of the test."""

import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.debian import require_programs
from tests.support.paths import CERTIFICATES, ROOT
from tests.support.processes import eventually
from tests.support.redis_servers import free_port

_PATIENCE_SECONDS = 60  # only a test that fails waits this long

# What Debian's own nginx.conf has around the files in conf.d, as a process in the foreground.
_AROUND = """\
daemon off;
pid {folder}/pid;
error_log {folder}/error.log;
{user}
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/proxied;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/credits.conf;
}}
"""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A proxy that listens, and how to reach it."""

    client: httpx.Client
    port: int
    trusted: ssl.SSLContext | None

    @contextmanager
    def wire(self) -> Iterator[socket.socket]:
        """Yield a connection to it, with TLS where it ends TLS."""
        with socket.create_connection(("localhost", self.port), timeout=_PATIENCE_SECONDS) as wire:
            if self.trusted is None:
                yield wire
                return
            with self.trusted.wrap_socket(wire, server_hostname="localhost") as encrypted:
                yield encrypted


def nginx_files(folder: Path, port: int, receiver_port: int) -> Path:
    """Write deploy/nginx.conf with other ports and certificate, and a file around it; return that."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    text = re.sub(r"/etc/letsencrypt/\S+\.pem", str(CERTIFICATES / "server.pem"), text)
    text = re.sub(r"listen \[::\]:443 ssl;", "", text).replace("listen 443", f"listen 127.0.0.1:{port}")
    (folder / "credits.conf").write_text(text.replace("127.0.0.1:8000", f"127.0.0.1:{receiver_port}"))
    whole = folder / "nginx.conf"
    whole.write_text(_AROUND.format(folder=folder, user="user root;"))
    return whole


@contextmanager
def nginx(folder: Path, receiver_port: int) -> Iterator[Proxy]:
    """Run nginx before a receiver, with TLS, while the block runs."""
    require_programs("nginx", as_root=True)
    port = free_port()
    config = nginx_files(folder, port, receiver_port)
    trusted = ssl.create_default_context(cafile=str(CERTIFICATES / "ca.pem"))
    with _running(["nginx", "-c", str(config)], port, trusted=trusted) as proxy:
        yield proxy


@contextmanager
def caddy(folder: Path, receiver_port: int) -> Iterator[Proxy]:
    """Run Caddy before a receiver while the block runs; without TLS, which needs a public name."""
    require_programs("caddy")
    port = free_port()
    env = {
        "HOME": str(folder),
        "CREDITS_PUBLIC_URL": f"http://localhost:{port}",
        "RECEIVER": f"127.0.0.1:{receiver_port}",
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
    }
    command = ["caddy", "run", "--config", str(ROOT / "deploy" / "Caddyfile"), "--adapter", "caddyfile"]
    with _running(command, port, env=env) as proxy:
        yield proxy


@contextmanager
def _running(
    command: Sequence[str],
    port: int,
    *,
    env: Mapping[str, str] | None = None,
    trusted: ssl.SSLContext | None = None,
) -> Iterator[Proxy]:
    path = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    process = subprocess.Popen(command, env={**path, **(env or {})}, stderr=subprocess.DEVNULL)
    url = f"{'https' if trusted else 'http'}://localhost:{port}"
    try:
        with httpx.Client(base_url=url, verify=trusted or True, timeout=30, trust_env=False) as client:
            eventually(lambda: process.poll() is not None or _answers(client))
            assert process.poll() is None, f"{command[0]} has ended"
            yield Proxy(client=client, port=port, trusted=trusted)
    finally:
        process.terminate()
        process.wait(30)


def _answers(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/"))
    except httpx.TransportError:
        return False
