"""Silences, by name, messages of mmengine and mmdet that come at every start and need no action."""

import logging
import re

# Lines of mmengine's logger that say nothing about the run.
_LOGGED = (
    r'"FileClient" will be deprecated',
    r'"HardDiskBackend" is the alias',
    r'`save_param_scheduler` is True but `self.param_schedulers` is None',
    r'Line NMS is not compiled',  # by mmdet, whenever it is imported
)
# Lines that are useful only when something is looked up later; they stay in the log file.
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
    """Make the console output of a run start with what matters; the log file gets the rest.

    Args:
        logger (logging.Logger): mmengine's logger.
    """
    for handler in logger.handlers:
        to_file = isinstance(handler, logging.FileHandler)
        handler.addFilter(_WithoutNoise(_LOGGED if to_file else _LOGGED + _FOR_THE_FILE))
