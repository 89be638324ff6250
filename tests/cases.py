"""Cases of one claim that share the test's fixtures: starting these takes longer than the cases."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Test = Callable[..., Awaitable[None]]


def each(
    names: str | tuple[str, ...], cases: Iterable[Any], *, at_once: bool = False
) -> Callable[[Test], Test]:
    """Run a test for each case; as `parametrize`, except that fixtures are made once for all.

    So no case may change what the next one reads. The first one that fails is named.

    Args:
        names: of the arguments, or of the one.
        cases: values of the arguments, or of the one.
        at_once: the cases run concurrently, as each waits.
    """
    given = (names,) if isinstance(names, str) else names

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        async def run(**fixtures: Any) -> None:
            async def run_case(case: Any) -> None:
                values = (case,) if isinstance(names, str) else case
                try:
                    await test(**fixtures, **dict(zip(given, values, strict=True)))
                except BaseException as error:
                    error.add_note(f"case: {case!r:.1000}")
                    raise

            if at_once:
                await asyncio.gather(*map(run_case, cases))
            for case in () if at_once else cases:
                await run_case(case)

        signature = inspect.signature(test)
        others = [of for name, of in signature.parameters.items() if name not in given]
        run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
        return run

    return decorated
