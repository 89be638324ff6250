"""How functions on arrays are compiled to machine code, which runs without the GIL.

For modules that only `stream_processors.compiled` imports: some platforms have no build of numba.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np
from numba.extending import register_jitable

F = TypeVar("F", bound=Callable[..., Any])

BYTES: Final = numba.types.Array(numba.uint8, 1, "C", readonly=True)
INTS: Final = numba.int64[::1]
AMOUNTS: Final = numba.float64[:, ::1]
BOOLS: Final = numba.boolean[::1]
VOID: Final = numba.void
INT: Final = numba.int64
TABLE: Final = numba.int64[:, ::1]


def compiled(result: Any, *arguments: Any) -> Callable[[F], F]:
    """Compile a function for arguments of these types, when it is defined, or load it."""
    compile_: Any = numba.njit([result(*arguments)], nogil=True, cache=True)
    return cast("Callable[[F], F]", compile_)


def inlined(function: F) -> F:
    """Have a function compiled into its compiled callers; others call it as it is."""
    inline: F = register_jitable(function)
    return inline


def as_bytes(data: bytes) -> Any:
    """Return bytes as an array that shares their memory, (len(data),) uint8."""
    return np.frombuffer(data, np.uint8)
