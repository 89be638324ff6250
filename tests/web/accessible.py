"""Accessibility checks: axe-core in both themes, and overflow of the window."""

from typing import Any, Final, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

KEEPS_PEOPLE_OUT: Final = {"serious", "critical"}
"""Impacts, in axe-core's terms, that fail the check."""
WIDTHS: Final = (1440, 1000, 390, 320)
"""Of windows: a desktop's, a tablet's, a phone's, and that of WCAG 1.4.10."""


async def assert_accessible(page: Page) -> None:
    """Look at what is shown, in both themes: axe-core calls nothing of it serious or critical."""
    themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for theme in themes:
        await page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await expect(page.locator("html")).to_have_attribute("data-theme", theme)
        found = (await Axe().run(page)).response["violations"]
        grave = [_described(one) for one in found if one["impact"] in KEEPS_PEOPLE_OUT]
        assert grave == [], "\n".join([f"in the {theme} theme:", *grave])


CLIPPED: Final = """() => [...document.querySelectorAll("tr button")].filter((button) => {
  const { right } = button.closest(".scroll").getBoundingClientRect();
  const { left } = button.closest("td").getBoundingClientRect();
  return button.getBoundingClientRect().right > right + 1
    || [...button.closest("tr").cells].some(({ firstChild: text }) => {
      const range = document.createRange();
      if (text) range.selectNode(text);
      return text instanceof Text && range.getBoundingClientRect().right > left + 1;
    });
}).length"""


async def assert_fits(page: Page) -> None:
    """Resize the window: no element is wider than it, and no row hides buttons or numbers."""
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 800})
        await expect(page.locator("html")).to_have_js_property("scrollWidth", width)
        assert await page.evaluate(CLIPPED) == 0


def _described(violation: dict[str, Any]) -> str:
    """Return what is wrong, and where."""
    nodes = violation["nodes"]
    where = "\n".join(f"  {node['target']}: {node['failureSummary']}" for node in nodes)
    return f"{violation['impact']}: {violation['help']}\n{where}"
