"""What Redis refuses, in terms an operator can act on: user, command, and where rights are set.

Redis itself reports neither the key that a user may not access nor the user.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from runtime.redis.url import StoreUrl

_RULES: Final = (
    "ACL LOG has what it was, and docs/redis.md the rules of each program's user for ACL SETUSER"
)
_SCRIPTS: Final = ("EVAL", "EVALSHA")
_KEYS: Final = 4
"""Keys of a script that are shown: those that every script has, and some of its own."""
_IN_SCRIPT: Final = ("The user executing the script", "ACL failure in script")
"""How its message about a command in a script begins, with another error's code."""


class StoreRefusesError(RedisError):
    """Redis refuses the configured login, or is misconfigured: an operator has to change that."""


def is_no_right(said: object) -> bool:
    """Return whether a command was refused because the user may not do it.

    >>> is_no_right("The user executing the script can't run this command or subcommand")
    True
    """
    text = str(said).removeprefix("ERR ")
    return isinstance(said, NoPermissionError) or text.startswith(("NOPERM", *_IN_SCRIPT))


def refused(said: object, user: str | None, command: Sequence[Any]) -> str:
    """Return the message for a command that the user may not run.

    >>> refused("No permissions to access a key", "api", ("GET", "live:model:current"))[:82]
    "user 'api' of Redis may not GET live:model:current: No permissions to access a key"

    Args:
        said: by Redis.
        user: None for the one without a name.
        command: with its arguments, of which only keys are shown; empty if unknown.
    """
    name = str(command[0]).upper() if command else "do it"
    keys = command[1:2]
    if name in _SCRIPTS:
        keys = [*dict.fromkeys(command[3 : 3 + int(command[2])])][:_KEYS]
    named = ", ".join(key.decode() if isinstance(key, bytes) else str(key) for key in keys)
    what = f"{name} {named}" if named else name
    why = str(said).removeprefix("NOPERM ").removeprefix("ERR ").rstrip(".")
    return f"user {user or 'default'!r} of Redis may not {what}: {why}. {_RULES}"


def _sentence(said: object) -> str:
    return f"{str(said).rstrip('.')}."


def not_let_in(url: StoreUrl, said: object) -> str:
    """Return the message for a user and password that Redis refuses."""
    return (
        f"Redis at {url.where} rejects the user {url.user!r}: {_sentence(said)} Set name and "
        "password in REDIS_URL to those of a user that it has (ACL LIST)"
    )


def not_encrypted(url: StoreUrl, said: object) -> str:
    """Return the message for a failed TLS handshake."""
    return (
        f"no encrypted connection to Redis at {url.where}: {_sentence(said)} In REDIS_URL, "
        "ssl_ca_certs names the authority that signed its certificate, ssl_certfile and "
        "ssl_keyfile what it asks of clients, and the host is one that its certificate names"
    )


@contextlib.contextmanager
def letting_in(url: StoreUrl) -> Iterator[None]:
    """Explain why Redis refuses a connection made within the block.

    Raises:
        StoreRefusesError: name, password or a certificate is not what it takes.
        redis.exceptions.ConnectionError: it does not answer.
    """
    try:
        yield
    except AuthenticationError as error:
        raise StoreRefusesError(not_let_in(url, error)) from None
    except RedisClusterException as error:
        if "Cluster mode is not enabled" not in str(error):
            raise
        may_not = refused("it does not say which node has what", url.user, ("CLUSTER", "SLOTS"))
        raise StoreRefusesError(may_not) from None
    except (RedisConnectionError, RedisTimeoutError) as error:
        if "_ssl.c" in str(error):
            raise StoreRefusesError(not_encrypted(url, error)) from None
        away = f"no Redis at {url.where}, which REDIS_URL names: {_sentence(error)}"
        raise RedisConnectionError(f"{away} Start it there, or correct REDIS_URL") from error


def naming_refusals(connection: type[Any]) -> type[Any]:
    """Return a connection class of redis-py's whose errors name the user and the command."""

    class NamingRefusals(connection):  # type: ignore[misc]
        asked: Sequence[Any] = ()

        def send_command(self, *command: Any, **options: Any) -> None:
            super().send_command(*command, **options)
            self.asked = command  # not before: a new connection asks for things of its own first

        def pack_commands(self, commands: Any) -> Any:
            self.asked = ()  # a caller that sends several reports which one was refused
            return super().pack_commands(commands)

        def read_response(self, *arguments: Any, **options: Any) -> Any:
            try:
                return super().read_response(*arguments, **options)
            except ResponseError as error:
                if not is_no_right(error):
                    raise
                raise NoPermissionError(refused(error, self.username, self.asked)) from None

    return NamingRefusals


_POLICY: Final = "maxmemory_policy"


def warnings_of(info: Mapping[str, Any]) -> list[str]:
    """Return warnings about a store's configuration.

    >>> warnings_of({"maxmemory_policy": "noeviction", "aof_enabled": 1})
    []

    Args:
        info: the sections `memory` and `persistence` of `INFO`, of a single node or node by node.

    Raises:
        StoreRefusesError: it may evict what it holds.
    """
    warnings = set()
    for node in nodes_of(info):
        if _POLICY not in node:
            warnings.add(
                "Redis does not report its maxmemory-policy: set it to noeviction, since with any "
                "other policy counts would be lost silently"
            )
        elif node[_POLICY] != "noeviction":
            raise StoreRefusesError(
                f"Redis has the maxmemory-policy {node[_POLICY]}, with which it silently "
                "drops bars and counts when its memory is full: set it to noeviction, with "
                "CONFIG SET maxmemory-policy noeviction and in its configuration file"
            )
        if not int(node.get("aof_enabled", 0)):
            warnings.add(
                "Redis has no append-only file: after a restart it is empty, and is filled again "
                "only as far as the log reaches back. Set appendonly to yes"
            )
    return sorted(warnings)


def nodes_of(info: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Return each node's answer to `INFO`, of a single node or node by node."""
    of_nodes = [node for node in info.values() if isinstance(node, Mapping)]
    return of_nodes if of_nodes and len(of_nodes) == len(info) else [info]
