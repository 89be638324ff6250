"""Programs that serve HTTP, as servers to wait for."""

import httpx

from infra.local.process import LOOPBACK, Command, Server


def answering(command: Command, port: int, ready_path: str) -> Server:
    """Return a program as a server that is ready when it answers a path with success."""
    address = f"http://{LOOPBACK}:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{address}{ready_path}", timeout=1).is_success
        except httpx.HTTPError:
            return False

    return Server(command, address, command.name, answers)
