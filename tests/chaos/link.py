"""The link of one worker to a server of several nodes: a proxy to each, cut or stalled together."""

import re
from collections.abc import Sequence

from infra.local.process import LOOPBACK
from tests.chaos.proxy import Network, Proxy


class Link:
    """All proxies between a worker and the nodes."""

    def __init__(self, proxies: Sequence[Proxy]) -> None:
        self.proxies = proxies

    @property
    def addresses(self) -> list[str]:
        """Where the worker reaches the nodes."""
        return [f"{LOOPBACK}:{proxy.port}" for proxy in self.proxies]

    @property
    def is_open(self) -> bool:
        """Whether all nodes can be reached."""
        return all(proxy.is_open for proxy in self.proxies)

    def cut(self) -> None:
        for proxy in self.proxies:
            proxy.cut()

    def stall(self) -> None:
        for proxy in self.proxies:
            proxy.stall()

    def stall_at(self, *words: bytes) -> None:
        """Stall the link to the first node that is sent bytes with all of the words."""
        for proxy in self.proxies:
            proxy.stall_at(*words)

    def slow_down(self, answers_after_s: float) -> None:
        """Delay each answer by so long; 0 ends it."""
        for proxy in self.proxies:
            proxy.answers_after_s = answers_after_s

    def open(self, *until: bytes) -> None:
        """Forward, what was held back first, until bytes go to a node that hold all the words."""
        for proxy in self.proxies:
            proxy.open(*until)

    def held_back(self) -> int | None:
        """Return the place of a node that cannot be reached, None if all can."""
        return next((n for n, proxy in enumerate(self.proxies) if not proxy.is_open), None)


def link(network: Network, ports: Sequence[int]) -> Link:
    """Return open proxies to the nodes of a store.

    The nodes of a cluster tell their clients where the others are, so in their answers the nodes'
    addresses are replaced by the proxies'. All ports have five digits: lengths stay as they are.
    """
    proxies = [network.proxy(port) for port in ports]
    of_port = {b"%d" % port: b"%d" % proxy.port for port, proxy in zip(ports, proxies, strict=True)}
    assert all(map(_has_five_digits, [*of_port, *of_port.values()]))
    any_port = b"|".join(of_port)
    host = re.escape(LOOPBACK.encode())
    # In a redirection, and as an integer of a list of slots.
    address = re.compile(rb"(?:(?<=%b:)|(?<=%b\r\n:))(?:%b)(?=\D)" % (host, host, any_port))

    def translate(answer: bytes) -> bytes:
        return address.sub(lambda found: of_port[found[0]], answer)

    if len(proxies) > 1:
        for proxy in proxies:
            proxy.translate = translate
    return Link(proxies)


def _has_five_digits(port: bytes) -> bool:
    return len(port) == len(b"65535")
