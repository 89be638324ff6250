"""Writes Prometheus's rules for the operator: `python -m infra.kubernetes.rules`.

Their source is `infra/prometheus`. kustomize reads no file outside its folder and has no templates,
so the component has a copy, which a test compares with the source.
"""

import textwrap
from pathlib import Path
from typing import Final

_HOME: Final = Path(__file__).parents[1] / "prometheus"
_FILES: Final = ("alerts.yml", "click_through.yml")
RULES: Final = Path(__file__).with_name("components") / "monitoring" / "rules.yaml"

_HEAD: Final = """\
# Made by `python -m infra.kubernetes.rules` from infra/prometheus/{name}: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {stem}
spec:
"""


def rules() -> str:
    """Return a PrometheusRule for each file of rules, as YAML documents."""
    return "---\n".join(_rule(_HOME / name) for name in _FILES)


def _rule(file: Path) -> str:
    stem = file.stem.replace("_", "-")
    return _HEAD.format(name=file.name, stem=stem) + textwrap.indent(file.read_text(), "  ")


if __name__ == "__main__":
    RULES.write_text(rules())
