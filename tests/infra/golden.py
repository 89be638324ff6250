"""`python -m tests.infra.golden` writes what each service of docker-compose.yml really has.

Anchors and merges are resolved, and variables stay as they are: a change of a part that many
services share shows in each of them. Digests of images are left out: a workflow changes them.
"""

import re
from pathlib import Path
from typing import Final

import yaml

from tests.compose import COMPOSE

FILE: Final = Path(__file__).with_name("compose.golden.yml")


class _Whole(yaml.SafeDumper):
    """Writes what stands in many places in each of them."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def resolved() -> str:
    parts = {part: COMPOSE[part] for part in ("services", "volumes")}
    return re.sub(r"@sha256:\w+", "", yaml.dump(parts, Dumper=_Whole, width=100))


if __name__ == "__main__":
    FILE.write_text(resolved())
