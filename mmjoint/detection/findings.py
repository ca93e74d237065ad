"""Findings of a check of annotations: faults, which end the run, omissions and remarks."""

from collections import Counter
from pathlib import Path

SHOWN = 5


class Findings:
    """Faults, objects that a documented rule leaves out, and remarks, for any number of files.

    A reader continues after a fault, so that a user sees all kinds of faults at once.
    """

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.number_of_faults = 0
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.remarks: list[str] = []
        self._examples: dict[tuple[str, str], str] = {}
        self._last_file: str | None = None

    def fault(self, file: str | Path, where: str, what: str) -> None:
        """Record something that makes a file unusable.

        Args:
            file (str | Path): The annotation file or the photo.
            where (str): The place in the file: ``'annotation 17'``, ``'image 3'``, ``'object 2'``.
            what (str): The field, its value, and what would be right.
        """
        self.number_of_faults += 1
        if len(self.faults) < SHOWN:
            # A file is named only once, so that a line with five faults stays readable.
            named = f'{file}: ' if str(file) != self._last_file else ''
            self._last_file = str(file)
            self.faults.append(f'{named}{where}: {what}')

    def leave_out(self, file: str | Path, rule: str, where: str, count: int = 1) -> None:
        """Count something that a rule leaves out of training and metric alike.

        Args:
            file (str | Path): The annotation file.
            rule (str): The objects that are left out, such as ``'boxes without area'``.
            where (str): The place in the file; the first one is reported.
            count (int): How many they are, from that place on. Defaults to 1.
        """
        key = (str(file), rule)
        self.left_out[key] += count
        self._examples.setdefault(key, where)

    def remark(self, text: str) -> None:
        """Record something that the user should know and that changes nothing."""
        self.remarks.append(text)

    def state(self) -> dict:
        """Return everything as values that JSON can hold, for ``add``."""
        left_out = [[*key, count, self._examples[key]] for key, count in self.left_out.items()]
        return dict(
            faults=self.faults,
            number_of_faults=self.number_of_faults,
            left_out=left_out,
            remarks=self.remarks,
        )

    def add(self, state: dict) -> None:
        """Record everything from the ``state`` of others too."""
        self.number_of_faults += state['number_of_faults']
        self.faults += state['faults'][: SHOWN - len(self.faults)]
        for file, rule, count, where in state['left_out']:
            self.leave_out(file, rule, where, count)
        self.remarks += state['remarks']

    def end(self) -> None:
        """Raise if there were faults.

        Raises:
            ValueError: The message names file, place and field of the first faults, and the number
                of the others.
        """
        if self.number_of_faults:
            more = self.number_of_faults - len(self.faults)
            raise ValueError('; '.join(self.faults) + (f'; and {more} more faults' if more else ''))

    def lines(self) -> list[str]:
        """Return the omissions and remarks, one per line."""
        left_out = [
            f'{file}: left out {count} {rule} (the first: {self._examples[file, rule]})'
            for (file, rule), count in self.left_out.items()
        ]
        return left_out + self.remarks


def shorten(value: object, length: int = 60) -> str:
    """Return a value as text for a message; long values are cut."""
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + '...'
