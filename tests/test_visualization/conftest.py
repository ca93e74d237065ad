"""Pages in headless Chromium, driven by Playwright; the browser is the machine's own."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
PAINTED = 'new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))'
TIMEOUT = 300_000  # milliseconds: machines that test may be busy


class Page:
    """An HTML file, loaded.

    Args:
        browser (Browser): The browser.
        path (Path): The file.
        width, height (int): Of the window, CSS pixels.
        dark (bool): Whether the reader prefers dark pages.
        media (str): 'screen' or 'print'.

    Attributes:
        errors (list[str]): What went wrong so far: uncaught exceptions, console errors and
            warnings, failed loads.
        requests (list[str]): The URLs that were asked for, but for those whose data lies in the
            page itself.
    """

    def __init__(
        self,
        browser: Browser,
        path: Path,
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        media: str = 'screen',
    ) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        size = dict(width=width, height=height)
        self._page = browser.new_page(viewport=size, color_scheme='dark' if dark else 'light')
        self._page.set_default_timeout(TIMEOUT)
        self._page.emulate_media(media=media)
        self._page.on('pageerror', lambda error: self.errors.append(f'{error.name}: {error}'))
        self._page.on('console', self._note)
        self._page.on('request', lambda request: self._ask(request.url))
        self._page.goto(Path(path).resolve().as_uri())
        self.evaluate(PAINTED)  # whatever the load has started has run and is painted

    def _note(self, message: Any) -> None:
        if message.type in ('error', 'warning', 'assert'):
            self.errors.append(message.text)

    def _ask(self, url: str) -> None:
        if not url.startswith('data:'):
            self.requests.append(url)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for."""
        return self._page.evaluate(expression)

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element that matches."""
        self._page.locator(selector).first.click()

    def press(self, key: str) -> None:
        """Press a key, by Playwright's name of it."""
        self._page.keyboard.press(key)

    @property
    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.evaluate(
            'document.documentElement.scrollWidth - document.documentElement.clientWidth'
        )

    def broken_images(self) -> list[str]:
        """Return the descriptions of pictures that show nothing."""
        return self.evaluate(
            'Promise.all([...document.images].map(i => i.decode().catch(() => 0)))'
            '.then(() => [...document.images].filter(i => !i.naturalWidth).map(i => i.alt))'
        )

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Write a PNG of the whole page, or of the window."""
        self._page.screenshot(path=path, full_page=whole)

    def close(self) -> None:
        self._page.close()


@pytest.fixture(scope='session')
def chromium() -> Iterator[Browser]:
    """A running headless Chromium; skips where none is installed."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip('no Chromium (on Debian: apt-get install chromium)')
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=['--no-sandbox'], timeout=TIMEOUT
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Load an HTML file: `open_page(path, width=, height=, dark=, media=)` gives its `Page`."""
    pages = []

    def load(path: Path, **kwargs: Any) -> Page:
        pages.append(Page(chromium, path, **kwargs))
        return pages[-1]

    yield load
    for page in pages:
        page.close()
