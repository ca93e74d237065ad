"""What a check of annotations finds: faults, which end the run, and what is left out or told."""

from collections import Counter
from pathlib import Path

SHOWN = 5


class Findings:
    """Faults, objects that a stated rule leaves out, and remarks, of any number of files.

    A reader goes on after a fault, so that a person sees all kinds of faults at once.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.number_of_faults = 0
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.remarks: list[str] = []
        self._examples: dict[tuple[str, str], str] = {}
        self._last_file: str | None = None

    def fault(self, file: str | Path, where: str, what: str) -> None:
        """Record what makes a file unfit.

        Args:
            file (str | Path): The annotation file or the photo.
            where (str): Of the file: ``'annotation 17'``, ``'image 3'``, ``'object 2'``.
            what (str): Field, value, and what would be right.
        """
        self.number_of_faults += 1
        if len(self.faults) < SHOWN:
            # One file is named once, so that a line with five faults can still be read.
            named = f'{file}: ' if str(file) != self._last_file else ''
            self._last_file = str(file)
            self.faults.append(f'{named}{where}: {what}')

    def leave_out(self, file: str | Path, rule: str, where: str) -> None:
        """Count something that a rule leaves out of training and metric alike.

        Args:
            file (str | Path): The annotation file.
            rule (str): What is left out: ``'boxes without area'``.
            where (str): Of the file; the first is told.
        """
        key = (str(file), rule)
        self.left_out[key] += 1
        self._examples.setdefault(key, where)

    def remark(self, text: str) -> None:
        """Tell something that a person should know and that changes nothing."""
        self.remarks.append(text)

    def end(self) -> None:
        """Raise if there were faults.

        Raises:
            ValueError: Its message names file, place and field of the first faults, and says how
                many there are.
        """
        if self.number_of_faults:
            more = self.number_of_faults - len(self.faults)
            raise ValueError('; '.join(self.faults) + (f'; and {more} more faults' if more else ''))

    def lines(self) -> list[str]:
        """Return what was left out and what is to be told, a line each."""
        left_out = [
            f'{file}: left out {count} {rule} (the first: {self._examples[file, rule]})'
            for (file, rule), count in self.left_out.items()
        ]
        return left_out + self.remarks


def shorten(value: object, length: int = 60) -> str:
    """Return a value as it would stand in a message, long ones cut."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + '...'
