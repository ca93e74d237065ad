"""Pages in headless Chromium, driven over its DevTools protocol: no dependency but Chromium."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
FLAGS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-dev-shm-usage',
    '--disable-sync',
    '--hide-scrollbars',
    '--no-first-run',
    '--remote-debugging-pipe',
)
KEYS = {
    'ArrowDown': 40,
    'ArrowLeft': 37,
    'ArrowRight': 39,
    'ArrowUp': 38,
    'End': 35,
    'Enter': 13,
    'Escape': 27,
    'Home': 36,
    'Tab': 9,
}
TIMEOUT = 300


class Chromium:
    """A headless Chromium; commands and events go through two pipes, as JSON that ends with 0."""

    def __init__(self, executable: str, profile: Path) -> None:
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # Chromium reads descriptor 3 and writes 4; these are out of the way of both.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (commands, answers)]
        self._process = subprocess.Popen(
            ['bash', '-c', f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', 'bash', executable]
            + [*FLAGS, f'--user-data-dir={profile}', 'about:blank'],
            pass_fds=ends,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (commands, answers, *ends):
            os.close(end)
        self._buffer = b''
        self._last_id = 0
        self.events: list[dict] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> dict:
        """Give a command and wait for its answer; what happens meanwhile goes to `events`."""
        self._last_id += 1
        message = dict(id=self._last_id, method=method, params=params)
        if session:
            message['sessionId'] = session
        os.write(self._commands, json.dumps(message).encode() + b'\0')
        while True:
            answer = self.read()
            if answer.get('id') == self._last_id:
                if 'error' in answer:
                    raise RuntimeError(f'{method}: {answer["error"]["message"]}')
                return answer['result']

    def read(self) -> dict:
        """Wait for the next message, an answer or an event."""
        deadline = time.monotonic() + TIMEOUT
        while b'\0' not in self._buffer:
            if not select.select([self._answers], [], [], deadline - time.monotonic())[0]:
                raise TimeoutError(f'Chromium said nothing in {TIMEOUT} s')
            data = os.read(self._answers, 2**20)
            if not data:
                raise RuntimeError(f'Chromium ended with status {self._process.wait()}')
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b'\0')
        message = json.loads(line)
        if 'id' not in message:
            self.events.append(message)
        return message

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)


class Page:
    """An HTML file, loaded.

    Args:
        chromium (Chromium): The browser.
        path (Path): The file.
        width, height (int): Of the window, CSS pixels.
        dark (bool): Whether the reader prefers dark pages.
        media (str): 'screen' or 'print'.
    """

    def __init__(
        self,
        chromium: Chromium,
        path: Path,
        width: int = 1200,
        height: int = 900,
        dark: bool = False,
        media: str = 'screen',
    ) -> None:
        self._chromium = chromium
        self._target = chromium.call('Target.createTarget', url='about:blank')['targetId']
        self._session = chromium.call('Target.attachToTarget', targetId=self._target, flatten=True)[
            'sessionId'
        ]
        for domain in ('Log', 'Network', 'Page', 'Runtime'):
            self.call(f'{domain}.enable')
        # Focus, and so the keyboard, works as if the window were the one in front.
        self.call('Emulation.setFocusEmulationEnabled', enabled=True)
        self.resize(width, height)
        scheme = dict(name='prefers-color-scheme', value='dark' if dark else 'light')
        self.call('Emulation.setEmulatedMedia', media=media, features=[scheme])
        self.call('Page.navigate', url=Path(path).resolve().as_uri())
        while not any(event['method'] == 'Page.loadEventFired' for event in self._events()):
            chromium.read()
        # Whatever the load has started has run and is painted.
        self.evaluate('new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))')

    def _events(self) -> Iterator[dict]:
        return (e for e in self._chromium.events if e.get('sessionId') == self._session)

    def call(self, method: str, **params: Any) -> dict:
        """Give any DevTools command for this page."""
        return self._chromium.call(method, self._session, **params)

    def resize(self, width: int, height: int) -> None:
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    @property
    def errors(self) -> list[str]:
        """What went wrong so far: uncaught exceptions, console errors and warnings, loads."""
        self.evaluate('0')  # what has happened by now has been told before this answer
        errors = []
        for event in self._events():
            params = event['params']
            if event['method'] == 'Runtime.exceptionThrown':
                details = params['exceptionDetails']
                errors.append(details.get('exception', {}).get('description', details['text']))
            elif event['method'] == 'Runtime.consoleAPICalled':
                if params['type'] in ('error', 'warning', 'assert'):
                    errors.append(' '.join(str(arg.get('value')) for arg in params['args']))
            elif event['method'] == 'Log.entryAdded':
                if params['entry']['level'] in ('error', 'warning'):
                    errors.append(params['entry']['text'])
        return errors

    @property
    def requests(self) -> list[str]:
        """The URLs that were asked for, but for those whose data lies in the page itself."""
        self.evaluate('0')
        urls = [
            event['params']['request']['url']
            for event in self._events()
            if event['method'] == 'Network.requestWillBeSent'
        ]
        return [url for url in urls if not url.startswith('data:')]

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True
        )
        if 'exceptionDetails' in answer:
            raise RuntimeError(f'{expression}: {answer["result"].get("description")}')
        return answer['result'].get('value')

    def click(self, selector: str) -> None:
        """Click with the mouse in the middle of the first element that matches."""
        x, y = self.evaluate(
            '(() => { const e = document.querySelector(' + json.dumps(selector) + ');'
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            'const b = e.getBoundingClientRect();'
            'return [b.x + b.width / 2, b.y + b.height / 2] })()'
        )
        for kind in ('mousePressed', 'mouseReleased'):
            self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

    def press(self, key: str) -> None:
        """Press a key: one of `KEYS`, or a character."""
        code = dict(windowsVirtualKeyCode=KEYS.get(key) or ord(key.upper()), key=key)
        text = {'Enter': '\r'}.get(key, '' if key in KEYS else key)
        self.call('Input.dispatchKeyEvent', type='keyDown', text=text, **code)
        self.call('Input.dispatchKeyEvent', type='keyUp', **code)

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
        data = self.call('Page.captureScreenshot', captureBeyondViewport=whole, format='png')
        Path(path).write_bytes(base64.b64decode(data['data']))

    def close(self) -> None:
        self._chromium.call('Target.closeTarget', targetId=self._target)


@pytest.fixture(scope='session')
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A running headless Chromium; skips where none is installed."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    if executable is None:
        pytest.skip('no Chromium (on Debian: apt-get install chromium)')
    browser = Chromium(executable, tmp_path_factory.mktemp('chromium'))
    yield browser
    browser.close()


@pytest.fixture
def open_page(chromium: Chromium) -> Iterator[Callable[..., Page]]:
    """Load an HTML file: `open_page(path, width=, height=, dark=, media=)` gives its `Page`."""
    pages = []

    def load(path: Path, **kwargs: Any) -> Page:
        pages.append(Page(chromium, path, **kwargs))
        return pages[-1]

    yield load
    for page in pages:
        page.close()
    chromium.events.clear()
