"""Calls what openapi-python-client generated: reads a call in each line, and prints its answer."""

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from generated import Client, api


def main(url: str) -> None:
    """Answer calls until the input ends."""
    found = pkgutil.walk_packages(api.__path__, f"{api.__name__}.")
    modules = {each.name.rpartition(".")[2]: each.name for each in found if not each.ispkg}
    client = Client(base_url=url)
    for line in sys.stdin:
        call = json.loads(line)
        body = {} if call["body"] is None else {"body": call["body"]}
        try:
            operation = importlib.import_module(modules[call["operation"]])
            answer = answered(client, operation.sync_detailed, {**call["arguments"], **body})
        except Exception as error:  # noqa: BLE001 (whatever it is, the client cannot make this call)
            answer = {"failure": repr(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201 (a script that prints)


def answered(client: Client, operation: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call an operation; return the status and the body of its answer."""
    hints = get_type_hints(operation)
    arguments = {name: converted(hints[name], value) for name, value in given.items()}
    answer = operation(**arguments, client=client)
    return {"status": answer.status_code, "body": as_json(answer.parsed)}


def converted(kind: Any, value: Any) -> Any:
    """Return JSON as a type of the client, or the first of a union that takes it.

    Raises:
        TypeError, ValueError, KeyError, AttributeError: it is not of that type.
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        for one in get_args(kind):
            try:
                return converted(one, value)
            except (TypeError, ValueError, KeyError, AttributeError):
                continue
        raise TypeError(f"{value!r} is no {kind}")
    if origin is list:
        return [converted(get_args(kind)[0], each) for each in value]
    if origin is Literal:
        return get_args(kind)[get_args(kind).index(value)]
    if hasattr(kind, "from_dict"):
        return kind.from_dict(value)
    if issubclass(kind, Enum):
        return kind(value)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is no {kind}")
    return value


def as_json(parsed: Any) -> Any:
    """Return JSON of what the client made of an answer."""
    return parsed.to_dict() if hasattr(parsed, "to_dict") else parsed


if __name__ == "__main__":
    main(sys.argv[1])
