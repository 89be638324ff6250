"""`REDIS_URL`: where the store is, encryption, the user, and what may be shown of it.

URLs are redis-py's, with the form for Sentinel on which projects around it have settled.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import parse_qsl

from pydantic import AfterValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from redis.connection import parse_url as _parse_url

_SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
_SENTINEL_PORT: Final = 26379
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHOICES: Final = {
    "ssl_cert_reqs": ("required", "none"),
    "ssl_check_hostname": ("true", "false"),
    "protocol": ("2", "3"),
}
_TLS: Final = (*_FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname")
_LOGIN: Final = ("username", "password")
_OF_SENTINELS: Final = ("sentinel_username", "sentinel_password")
_QUOTED: Final = "in a name or password write / ? # @ : and % as %2F %3F %23 %40 %3A and %25"

parse_url: Final[Callable[[str], dict[str, Any]]] = _parse_url


class Host(NamedTuple):
    """Where a server listens."""

    name: str
    port: int


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """What `REDIS_URL` says.

    >>> url = StoreUrl.of("redis+sentinel://api:secret@one,two:5000/shop/2")
    >>> url.sentinels, url.service, url.user
    ((Host(name='one', port=26379), Host(name='two', port=5000)), 'shop', 'api')
    """

    options: dict[str, Any]
    """redis-py's, of a connection to a node; no host and port where Sentinels name the node"""
    sentinels: tuple[Host, ...] = ()
    sentinel_options: dict[str, Any] | None = None
    """redis-py's, of a connection to a Sentinel"""
    service: str = ""
    """what the Sentinels call the store"""

    @classmethod
    def of(cls, url: str) -> "StoreUrl":
        """Read a URL.

        Raises:
            ValueError: it is not a store's; names the problem and the remedy, but no secret.
        """
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise ValueError(f"write one of {', '.join(f'{one}://' for one in _SCHEMES)}")
        if re.search(r"[\s#]", url):
            raise ValueError(f"has a #, a blank or an end of line in it: {_QUOTED}")
        place, _, query = rest.partition("?")
        _check_query(scheme, query)
        if scheme == "unix":
            return cls(parse_url(url))
        place, _, path = place.partition("/")
        login, at, hosts = place.rpartition("@")
        if not scheme.endswith("+sentinel"):
            _check_db(path)
            _host(hosts, 6379)
            return cls(parse_url(url))
        service, _, db = path.partition("/")
        if not service:
            raise ValueError("names no service: redis+sentinel://one:26379,two:26379/mymaster/0")
        _check_db(db)
        of_node = [option for option in query.split("&") if not option.startswith("sentinel_")]
        encryption = scheme.removesuffix("+sentinel")
        options = parse_url(f"{encryption}://{login}{at}host/{db}?{'&'.join(of_node)}")
        del options["host"]
        sentinel: dict[str, Any] = {
            name: options[name] for name in (*_TLS, "connection_class") if name in options
        }
        asked = dict(parse_qsl(query))
        sentinel |= {
            name.removeprefix("sentinel_"): asked[name] for name in _OF_SENTINELS if name in asked
        }
        nodes = tuple(_host(host, _SENTINEL_PORT) for host in hosts.split(","))
        return cls(options, nodes, sentinel, service)

    @property
    def user(self) -> str:
        """The ACL user."""
        return self.options.get("username") or "default"

    @property
    def where(self) -> str:
        """The addresses, to be shown.

        >>> StoreUrl.of("redis://:secret@host:7000/2").where
        'host:7000'
        """
        if self.sentinels:
            return (
                f"{self.service} of {','.join(f'{name}:{port}' for name, port in self.sentinels)}"
            )
        if "path" in self.options:
            return str(self.options["path"])
        return f"{self.options.get('host', 'localhost')}:{self.options.get('port', 6379)}"


def shown(url: str) -> str:
    """Return a URL, valid or not, without what may be a secret.

    >>> shown("rediss://worker:s3/cr@t@host:6379/0?ssl_ca_certs=/ca.pem&ssl_password=s3cret")
    'rediss://worker:***@host:6379/0?ssl_ca_certs=/ca.pem&ssl_password=***'
    """
    head, separator, rest = url.partition("://")
    if not separator:
        head, rest = "", url
    login, at, place = rest.rpartition("@")
    user = login.partition(":")[0] if ":" in login else "***"
    login = f"{user}{':***' if ':' in login else ''}" if at else ""
    place = re.sub(r"(password=)[^&]*", r"\1***", place)
    return f"{head}{separator}{login}{at}{place}"


def _checked(url: str) -> str:
    try:
        StoreUrl.of(url)
    except ValueError as error:
        kind = PydanticCustomError("store_url", "{why}", {"why": str(error)})
        raise ValidationError.from_exception_data(
            "REDIS_URL", [InitErrorDetails(type=kind, input=shown(url))]
        ) from None
    return url


RedisUrl = Annotated[str, AfterValidator(_checked)]
"""A URL that `StoreUrl` reads; errors about others do not show their secrets."""


def _host(text: str, port: int) -> Host:
    """Read `host:port`; errors do not show the text, which may be part of a password."""
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?", text)
    found = bracketed or re.fullmatch(r"([^\[\]:@,]*)(?::(\d{1,5}))?", text)
    if found is None or int(found[2] or port) > 65535:
        raise ValueError(f"has an invalid host or port; {_QUOTED}")
    return Host(found[1] or "localhost", int(found[2] or port))


def _check_db(path: str) -> None:
    if not re.fullmatch(r"\d*/?", path):
        raise ValueError(f"ends with something else than the database's number, as /0; {_QUOTED}")


def _check_query(scheme: str, query: str) -> None:
    """Return if redis-py will accept the options, and files are valid."""
    known = ["db", "protocol", *_LOGIN]
    if scheme.startswith("rediss"):
        known += _TLS
    if scheme.endswith("+sentinel"):
        known += _OF_SENTINELS
    asked = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in asked.items():
        if name in _TLS and name not in known:
            raise ValueError(f"has the option {name}, which needs rediss:// or rediss+sentinel://")
        if name not in known:
            raise ValueError(f"has an option that is none of {', '.join(known)}; {_QUOTED}")
        if value.lower() not in _CHOICES.get(name, [value.lower()]):
            raise ValueError(f"has {name} that is none of {', '.join(_CHOICES[name])}")
    if not asked.get("db", "0").isdecimal():
        raise ValueError("has a db that is no number")
    _check_files(asked)


def _check_files(asked: dict[str, str]) -> None:
    for name in _FILES:
        try:
            if name in asked:
                Path(asked[name]).read_bytes()
        except OSError as error:
            raise ValueError(
                f"names {asked[name]} as {name}, which cannot be read ({error.strerror}): "
                "name a PEM file"
            ) from None
    if "ssl_keyfile" in asked and "ssl_certfile" not in asked:
        raise ValueError("has ssl_keyfile without ssl_certfile: name both")
    # Not the default one: that loads the system's authorities, which takes 90 ms for nothing.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if "ssl_ca_certs" in asked:
            context.load_verify_locations(asked["ssl_ca_certs"])
        if "ssl_certfile" in asked:
            # Without a password OpenSSL would ask for one at the terminal.
            password = asked.get("ssl_password", "")
            context.load_cert_chain(asked["ssl_certfile"], asked.get("ssl_keyfile"), password)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(
            f"names files that are not certificates, or a key that does not match, or one that "
            f"ssl_password does not open ({error})"
        ) from None
