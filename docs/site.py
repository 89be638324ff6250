"""Makes pages of a site out of the files that GitHub shows: `mkdocs.yml` names this as its hooks.

README and the other documents at the root of the repository become pages, links between documents
lead to pages, links to other files to the repository, and formulas are MathML.
"""

import html
import posixpath
import re
from pathlib import Path
from typing import Any, Final

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
}
"""The documents outside of docs/, and the pages that they become."""
_SHOWN: Final = frozenset({".md", ".png", ".svg"})
_SOURCES: Final = {page: document for document, page in PAGES.items()}
_FENCE: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(
    r'\[(?P<text>[^\]]*)\]\((?P<link>[^()\s]+)\)|(?P<attribute>src|srcset)="(?P<value>[^"]+)"'
)
_FORMULA: Final = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the documents and the icon from outside of docs/."""
    for document, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / document).read_text("utf-8")))
    files.append(File.generated(config, "icon.svg", abs_src_path=str(ROOT / "web/icon.svg")))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the text with its links as the site has them."""
    source = _SOURCES.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    if source.startswith("docs/adr/") or source in ("CHANGELOG.md", "CONTRIBUTING.md"):
        page.meta["search"] = {"boost": 0.1}  # behind the pages for users

    def linked(found: re.Match[str]) -> str:
        if found["attribute"]:
            target = _on_site(found["value"], source, page.file.src_uri)
            return f'{found["attribute"]}="{target}"'
        text, target = found["text"], _on_site(found["link"], source, page.file.src_uri)
        if target is None and not config.repo_url:
            return text
        return f"[{text}]({target or config.repo_url + _in_repository(found['link'], source)})"

    parts = _FENCE.split(markdown)
    return "".join(part if n % 2 else _LINK.sub(linked, part) for n, part in enumerate(parts))


def on_page_content(content: str, **_: Any) -> str:
    """Return the HTML with its formulas as MathML, which needs no script."""
    return _FORMULA.sub(lambda found: convert(html.unescape(found[2])), content)


def _on_site(link: str, source: str, page: str) -> str | None:
    """Return a link of a document as the page has it; None if it leads out of the site."""
    path, hash_, anchor = link.partition("#")
    if not path or re.match(r"[a-z]+:", link):
        return link
    target = _path(path, source)
    if target not in PAGES and not (target.startswith("docs/") and Path(target).suffix in _SHOWN):
        return None
    on_site = PAGES.get(target, target.removeprefix("docs/"))
    return posixpath.relpath(on_site, posixpath.dirname(page) or ".") + hash_ + anchor


def _in_repository(link: str, source: str) -> str:
    target = _path(link.partition("#")[0], source)
    return f"/{'tree' if (ROOT / target).is_dir() else 'blob'}/main/{target}"


def _path(path: str, source: str) -> str:
    """Return where a relative path of a document leads to, from the repository's root."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if not (ROOT / target).exists():
        raise PluginError(f"{source} has a link to {path}, which does not exist: correct it")
    return target
