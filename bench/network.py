"""Makes hosts on one machine: network namespaces, each with a wire to a switch of their own.

Nothing of the machine's own network is touched, and everything is gone with the namespaces.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rounds import NotMeasuredError

_SWITCH = "switch"
_SUBNET = "10.99.0"  # the same in each network: no two of them meet
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """A host with an address. What is started inside of it has only this network."""

    namespace: str
    address: str
    switch: str
    port: str

    def cut(self) -> None:
        """Take its wire off the switch: packets are lost, and no connection learns of it."""
        _ip("-n", self.switch, "link", "set", self.port, "down")

    def mend(self) -> None:
        """Put the wire back."""
        _ip("-n", self.switch, "link", "set", self.port, "up")

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be on this host while the block runs: sockets that are opened, and processes that are started."""
        with Path("/proc/thread-self/ns/net").open() as here, (_NAMESPACES / self.namespace).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(here.fileno())


@contextmanager
def network(*names: str) -> Iterator[Mapping[str, Host]]:
    """Make hosts with these names, and be on the switch while the block runs, from where all are reached.

    NotMeasuredError if this machine does not let us.
    """
    if os.geteuid() != 0:
        raise NotMeasuredError("only root can make network namespaces")
    prefix = f"credits-bench-{os.getpid()}-"
    with ExitStack() as stack:
        switch = _add_namespace(stack, prefix + _SWITCH)
        _ip("-n", switch, "link", "add", _SWITCH, "type", "bridge")
        _ip("-n", switch, "address", "add", f"{_SUBNET}.1/24", "dev", _SWITCH)
        _ip("-n", switch, "link", "set", _SWITCH, "up")
        hosts = {
            name: _add_host(_add_namespace(stack, prefix + name), switch, number)
            for number, name in enumerate(names, start=2)
        }
        here = Host(namespace=switch, address=f"{_SUBNET}.1", switch=switch, port=_SWITCH)
        with here.inside():
            yield hosts


def _add_namespace(stack: ExitStack, name: str) -> str:
    _ip("netns", "add", name)
    stack.callback(_ip, "netns", "delete", name)
    _ip("-n", name, "link", "set", "lo", "up")
    return name


def _add_host(namespace: str, switch: str, number: int) -> Host:
    host = Host(namespace=namespace, address=f"{_SUBNET}.{number}", switch=switch, port=f"port{number}")
    ends = ("name", "eth0", "netns", namespace, "type", "veth", "peer", "name", host.port, "netns", switch)
    _ip("link", "add", *ends)
    _ip("-n", namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
    _ip("-n", namespace, "link", "set", "eth0", "up")
    _ip("-n", switch, "link", "set", host.port, "master", _SWITCH, "up")
    return host


def _ip(*args: str) -> None:
    command = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin")
    if command is None:
        raise NotMeasuredError(
            "ip is not installed, which makes network namespaces: apt-get install iproute2"
        )
    done = subprocess.run([command, *args], capture_output=True, text=True, check=False)  # noqa: S603 - found
    if done.returncode:
        raise NotMeasuredError(f"ip {' '.join(args)}: {done.stderr.strip()}")


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns exists since Python 3.12
    if libc.setns(namespace, _CLONE_NEWNET):
        raise NotMeasuredError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
