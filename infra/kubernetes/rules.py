"""Writes Prometheus's rules as the operator takes them: `python -m infra.kubernetes.rules`.

`infra/prometheus` is their home. kustomize reads no file outside its folder and knows no templates,
so a copy stands in the component, and a test holds it against its home.
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
    """Return one PrometheusRule for each file of rules, as YAML documents."""
    return "---\n".join(_rule(_HOME / name) for name in _FILES)


def _rule(file: Path) -> str:
    stem = file.stem.replace("_", "-")
    return _HEAD.format(name=file.name, stem=stem) + textwrap.indent(file.read_text(), "  ")


if __name__ == "__main__":
    RULES.write_text(rules())
