"""Shows the progress of a task on stderr."""

import sys
import time


class Progress:
    """A bar with the remaining time on a terminal, ten lines elsewhere.

    Args:
        name (str): Label of the task.
        total (int): Number of steps.
        done (int): Number of steps done earlier. Defaults to 0.
        silent (bool): Whether to print nothing, as in all processes but the first. Defaults to
            False.
    """

    def __init__(self, name: str, total: int, done: int = 0, silent: bool = False) -> None:
        self.name, self.total, self.first, self.silent = name, total, done, silent
        self.every = 1 if sys.stderr.isatty() else max(1, total // 10)
        self.start = time.monotonic()

    def show(self, done: int, text: str = '') -> None:
        """Show the number of steps done.

        Args:
            done (int): Number of steps done, of ``total``.
            text (str): Text to append.
        """
        if self.silent or not (done % self.every == 0 or done == self.total):
            return
        seconds = (time.monotonic() - self.start) / max(1, done - self.first)
        left = round(seconds * (self.total - done))
        eta = f'{left // 3600}:{left // 60 % 60:02}:{left % 60:02}'
        filled = 24 * done // self.total
        line = f'{self.name} [{"#" * filled:<24}] {done}/{self.total}  eta {eta}  {text}'
        if sys.stderr.isatty():
            print(f'\r{line:<110}', end='\n' if done == self.total else '', file=sys.stderr)
        else:
            print(line, file=sys.stderr)
        sys.stderr.flush()
