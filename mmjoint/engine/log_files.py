"""A run's log files: an error of writing names the file, and any file name can be logged."""

import contextlib
import io
import logging
import sys
from functools import partial

from mmengine import dump
from mmengine.config import Config
from mmengine.visualization import LocalVisBackend
from mmengine.visualization.vis_backend import force_init_env

from ..utils.files import append_line, write_output


def mend_logger(logger: logging.Logger) -> None:
    """Make the log file of a run name itself where it cannot be written, and take any text.

    Python's own handlers write a traceback for each line that cannot be written, and go on.

    Args:
        logger (logging.Logger): mmengine's logger.
    """
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            if isinstance(handler.stream, io.TextIOWrapper):
                handler.stream.reconfigure(errors='backslashreplace')
        if isinstance(handler, logging.FileHandler):
            handler.errors = 'backslashreplace'  # for a handler that opens another file later
            handler.handleError = partial(_raise, handler)  # type: ignore[method-assign]


def mend_scalars() -> None:
    """Write the logged values and the config of a run so that an error of writing names the file.

    A line of values is written whole or not at all.
    """
    LocalVisBackend._dump = _dump
    LocalVisBackend.add_config = force_init_env(_add_config)


def write_config(cfg: Config, path: str) -> None:
    """Write a config to a file, as ``Config.dump`` does, whole or not at all.

    Args:
        cfg (Config): The config.
        path (str): The file.

    Raises:
        OSError: The file cannot be written; the message names it.
    """
    suffix = path.rpartition('.')[2]
    write_output(
        path, cfg.pretty_text if suffix == 'py' else dump(cfg.to_dict(), file_format=suffix)
    )


def _raise(handler: logging.FileHandler, record: logging.LogRecord) -> None:
    error = sys.exc_info()[1]
    if not isinstance(error, OSError) or error.errno is None:
        logging.FileHandler.handleError(handler, record)
        return
    with contextlib.suppress(OSError):  # it tries to write the rest of the line again
        handler.close()
    raise OSError(f'cannot write {handler.baseFilename}: {error.strerror}') from error


def _dump(self: LocalVisBackend, value_dict: dict, file_path: str, file_format: str) -> None:
    append_line(file_path, dump(value_dict, file_format=file_format))


def _add_config(self: LocalVisBackend, config: Config, **kwargs: object) -> None:
    write_config(config, self._config_save_file)
