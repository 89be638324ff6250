"""One process and two, asked directly, and through nginx as `infra/nginx` sets it up.

Nothing is pinned here: processes, nginx, wrk and store share all cores, and on a machine of two
they have no more together than one process and its load had before. So it shows what nginx costs a
request there, and what a second process brings only where cores are left for it. Without nginx, wrk
has a thread and half of the connections for each process.
"""

import contextlib
import getpass
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from string import Template
from typing import Final

from benchmarks.harness.rounds import Say
from benchmarks.reads import cores
from benchmarks.reads.contests import CONNECTIONS, answered, turn
from benchmarks.reads.measured import Measured, Pair
from benchmarks.reads.paths import bars
from benchmarks.reads.scene import Asked, Scene
from infra.local.paths import PROJECT
from infra.local.process import LOOPBACK, free_port

_CONFIG: Final = PROJECT / "infra" / "nginx" / "nginx.conf"
_ONE: Final = "one process"
_TWO: Final = "two processes"
_NGINX: Final = "two, behind nginx"


def doors(scene: Scene, rounds: int, seconds: int, say: Say) -> Measured:
    """Measure them on the same data, in the same rounds."""
    endpoint, nginx = bars(scene.size), _find_nginx()
    with contextlib.ExitStack() as stack:
        stack.enter_context(cores.anywhere([scene.store_pid]))
        apis = [stack.enter_context(scene.tickrec(f"tickrec-{number}")) for number in (1, 2)]
        turns = {_ONE: turn(scene, endpoint, apis[0]), _TWO: turn(scene, endpoint, *apis)}
        pairs = [Pair(_TWO, _ONE)]
        if nginx is not None:
            door = stack.enter_context(_door(scene, nginx, apis, endpoint.paths[0]))
            turns[_NGINX] = turn(scene, endpoint, *apis, behind=door)
            pairs.append(Pair(_NGINX, _TWO))
        return Measured(
            name="reads: doors",
            work=f"{endpoint}, {CONNECTIONS} connections, no process pinned to a core"
            + ("" if nginx else "; nginx is left out: there is none here (Debian: nginx)"),
            runs=answered(turns, rounds, seconds, say),
            pairs=pairs,
            store=scene.store.product,
        )


@contextlib.contextmanager
def _door(scene: Scene, nginx: str, apis: Sequence[Asked], ready_path: str) -> Iterator[Asked]:
    """Run nginx before the processes, for the block."""
    port, folder = free_port(), scene.folder / "nginx"
    folder.mkdir(exist_ok=True)
    config = _configure(folder, port, [api.port for api in apis])
    # Root's workers would become another user, who may not enter the folder.
    user = f" user {getpass.getuser()};" if os.geteuid() == 0 else ""
    argv = (nginx, "-e", "stderr", "-p", str(folder), "-c", str(config), "-g", f"daemon off;{user}")
    with scene.serving("nginx", port, argv, ready_path) as asked:
        yield asked


def _configure(folder: Path, listen: int, api_ports: Sequence[int]) -> Path:
    """Fill the template in, as the image's envsubst does."""
    servers = (f"server {LOOPBACK}:{port} max_fails=3 fail_timeout=2s;" for port in api_ports)
    # One address sends what otherwise comes from many.
    unlimited = _CONFIG.read_text().replace("rate=2000r/s", "rate=1000000r/s")
    filled = Template(unlimited).safe_substitute(
        NGINX_LISTEN=f"{LOOPBACK}:{listen}", NGINX_API_SERVERS=" ".join(servers)
    )
    config = folder / "nginx.conf"
    config.write_text(filled)
    return config


def _find_nginx() -> str | None:
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
