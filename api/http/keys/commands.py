"""`python -m api keys`: adds, lists and removes keys of `API_KEYS_FILE`."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, get_args

import msgspec
import typer
from pydantic_settings import BaseSettings

from api.http.keys.access import Grant, digest_of, new_text
from api.http.keys.file import Entry, KeysFileError, changing, read_entries

_COLUMNS: Final = ("name", "scopes", "limit", "expires", "created")
_SCOPES: Final = get_args(Grant)
_FIRST: Final = "admin"
_ALL: Final = "read,write,admin"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="API keys in the file that API_KEYS_FILE names. Servers follow its changes.",
)
Name = Annotated[str, typer.Argument(help="letters, digits and . _ -, up to 64 of them")]


class _Settings(BaseSettings):
    api_keys_file: Path | None = None


@app.command()
def add(
    name: Name,
    scopes: Annotated[
        str,
        typer.Option(
            help="comma-separated: read:users, read:recommendations, read:pipeline, or read for "
            "all three; write; admin"
        ),
    ],
    limit: Annotated[
        str | None,
        typer.Option(help="for its read requests, and for the events it writes: 1000/second"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="RFC 3339, or a date, which means its start in UTC")
    ] = None,
) -> None:
    """Add a key, and print it: it is not stored anywhere."""
    text = new_text()
    try:
        entry = _entry(name, text, scopes, limit, expires)
        with changing(_path()) as entries:
            entries[:] = _with(entries, entry)
    except (ValueError, OSError, msgspec.ValidationError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(text)


@app.command()
def first() -> None:
    """Add a key with all scopes, and print it, unless there is one with the scope `admin`."""
    text = new_text()
    try:
        with changing(_path()) as entries:
            admins = [entry.name for entry in entries if _administers(entry)]
            if not admins:
                entries[:] = _with(entries, _entry(_FIRST, text, _ALL))
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    if admins:
        typer.echo(f"nothing was done: the key {admins[0]!r} has the scope admin", err=True)
    else:
        typer.echo(text)


@app.command("list")
def list_keys() -> None:
    """List the keys: names, scopes, limits, expiry."""
    try:
        entries = read_entries(_path())
    except KeysFileError as error:
        raise typer.BadParameter(str(error)) from error
    for line in _table(entries):
        typer.echo(line)


@app.command()
def remove(name: Name) -> None:
    """Remove a key: within about a second, servers reject it."""
    try:
        with changing(_path()) as entries:
            entries[:] = _without(entries, name)
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error


def _path() -> Path:
    path = _Settings().api_keys_file
    if path is None:
        raise typer.BadParameter("API_KEYS_FILE is not set: set it to the file of the keys")
    return path


def _entry(
    name: str,
    text: str,
    scopes: str,
    limit: str | None = None,
    expires: str | None = None,
) -> Entry:
    """Return the entry of a key; ValueError, or msgspec's, if an argument is invalid."""
    named = {scope.strip() for scope in scopes.split(",")}
    if not named <= set(_SCOPES):
        raise ValueError(f"the scopes {scopes!r} are not among {', '.join(_SCOPES)}")
    now = datetime.now(UTC).replace(microsecond=0)
    ends = _time(expires) if expires is not None else None
    if ends is not None and ends <= now:
        raise ValueError(f"the expiry {expires!r} is in the past: use a later time")
    fields = {
        "name": name,
        "sha256": digest_of(text.encode()).hex(),
        "scopes": [scope for scope in _SCOPES if scope in named],
        "created": now,
        "limit": limit,
        "expires": ends,
    }
    entry = msgspec.convert(fields, Entry)
    entry.key()
    return entry


def _with(entries: Sequence[Entry], entry: Entry) -> list[Entry]:
    """Return the entries with one more, in the place of an expired one of the same name."""
    kept = [other for other in entries if other.name != entry.name or not other.has_expired]
    if any(other.name == entry.name for other in kept):
        raise ValueError(f"there is a key {entry.name!r} already: remove it, or use another name")
    return [*kept, entry]


def _administers(entry: Entry) -> bool:
    return "admin" in entry.scopes and not entry.has_expired


def _without(entries: Sequence[Entry], name: str) -> list[Entry]:
    kept = [entry for entry in entries if entry.name != name]
    if len(kept) == len(entries):
        raise ValueError(f"there is no key {name!r}: `python -m api keys list` shows all")
    return kept


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"the expiry {text!r} is not a time: use, for example, 2027-01-01"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _table(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lines of a table of keys."""
    rows = [_COLUMNS, *map(_row, entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()


def _row(entry: Entry) -> tuple[str, ...]:
    scopes = ",".join(entry.scopes)
    times = _shown(entry.expires), _shown(entry.created)
    return entry.name, scopes, entry.limit or "-", *times


def _shown(time: datetime | None) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if time else "never"
