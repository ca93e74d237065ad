"""What mmengine logs at every start and nobody can act on: silenced by name, here alone."""

import logging
import re

# Lines of mmengine's logger that say nothing of the run.
_LOGGED = (
    r'"FileClient" will be deprecated',
    r'"HardDiskBackend" is the alias',
    r'`save_param_scheduler` is True but `self.param_schedulers` is None',
)
# Those that are of use where something is looked up later, and stay in the log file.
_FOR_THE_FILE = (
    r'paramwise_options -- ',
    r'\n-+\nSystem environment:',
    r'Config:\n',
    r'Hooks will be executed in the following order:',
)


class _WithoutNoise(logging.Filter):
    def __init__(self, patterns: tuple[str, ...]) -> None:
        super().__init__()
        self._pattern = re.compile('|'.join(patterns))

    def filter(self, record: logging.LogRecord) -> bool:
        return not self._pattern.match(record.getMessage())


def quiet_logger(logger: logging.Logger) -> None:
    """Have the console of a run begin with what matters; the file holds the rest.

    Args:
        logger (logging.Logger): Of mmengine.
    """
    for handler in logger.handlers:
        to_file = isinstance(handler, logging.FileHandler)
        handler.addFilter(_WithoutNoise(_LOGGED if to_file else _LOGGED + _FOR_THE_FILE))
