"""What a figure depends on besides the code: the machine, and the versions of what took part."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Final

import psutil

_PACKAGES: Final = (
    "tickrec", "faust-streaming", "aiokafka", "confluent-kafka", "redis", "hiredis", "msgspec",
    "numpy", "fastapi", "uvicorn", "uvloop", "httptools",
)  # fmt: skip
_CPUINFO: Final = Path("/proc/cpuinfo")


def machine() -> dict[str, str | int]:
    """Return the processor, how many cores of it there are, and the operating system."""
    return {
        "cpu": _cpu_model(_CPUINFO.read_text() if _CPUINFO.exists() else ""),
        "cores": psutil.cpu_count() or 1,
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that do the work."""
    return {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}


def _cpu_model(cpuinfo: str) -> str:
    r"""Return the processor's name.

    >>> _cpu_model("processor: 0\nmodel name\t: AMD EPYC 7763\n")
    'AMD EPYC 7763'
    """
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
