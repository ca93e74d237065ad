"""LoadImage: decodes a photo, or skips it if its file is broken."""

import contextlib
import logging
from pathlib import Path

import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.image.io import imread_flags
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import get_rank
from mmengine.logging import MMLogger, print_log
from mmengine.registry import TRANSFORMS

from ..pixels.decode import MAX_PIXELS, decode
from ..utils.files import add_line, encode

BROKEN_LIST = 'broken_images.txt'


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which also notices broken files.

    A missing, empty, truncated or damaged file is counted and named once per run, in the log and,
    by all processes, in ``broken_images.txt`` next to the log. The data set takes another image in
    its place, so that one bad file among a million does not end a run. A file whose header
    announces more than ``max_pixels`` is treated in the same way, before it is decoded.
    ``mmjoint.pixels.decode`` decodes and documents what counts as damaged.

    Required Keys:

    - img_path

    Modified Keys:

    - img
    - img_shape
    - ori_shape

    Args:
        on_error (str): ``'skip'`` or ``'raise'``, what to do with a broken file. Defaults to
            ``'skip'``.
        imdecode_backend (str): ``'auto'`` uses simplejpeg where it gives the pixels that OpenCV
            gives, and OpenCV otherwise; or one of mmcv's backends, such as ``'cv2'`` and
            ``'pillow'``. Files are checked as with ``'auto'``. Defaults to ``'auto'``.
        max_pixels (int, optional): Width times height of the largest image to decode; None for no
            limit. Defaults to 178,956,970, as in Pillow.
        keep_mib (float): MiB of decoded images that each process keeps in memory instead of
            decoding them again; for data sets of small images. Defaults to 0, none.
        to_float32, color_type, backend_args: As in ``LoadImageFromFile``.

    Raises:
        OSError: A broken file, if ``on_error='raise'``.
        ValueError: ``on_error`` is neither, ``max_pixels`` is not a positive integer, or
            ``keep_mib`` is negative.
    """

    def __init__(
        self,
        on_error: str = 'skip',
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'auto',
        backend_args: dict | None = None,
        max_pixels: int | None = MAX_PIXELS,
        keep_mib: float = 0,
    ) -> None:
        super().__init__(to_float32, color_type, imdecode_backend, backend_args=backend_args)
        if on_error not in ('skip', 'raise'):
            raise ValueError(f"on_error must be 'skip' or 'raise', got {on_error!r}")
        if max_pixels is not None and (not isinstance(max_pixels, int) or max_pixels < 1):
            raise ValueError(f'max_pixels must be a positive integer or None, got {max_pixels!r}')
        if not keep_mib >= 0:
            raise ValueError(f'keep_mib must not be negative, got {keep_mib!r}')
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.keep_mib = keep_mib
        self._kept: dict[str, np.ndarray] = {}
        self._kept_bytes = 0
        self._broken: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            img = self._load(path)
        except OSError as error:
            message = f'broken image {path}: {error}'
            if self.on_error == 'raise':
                raise OSError(message) from error
            if path not in self._broken:
                self._broken.add(path)
                self._tell(message)
            return None
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = img.shape[:2]
        results['ori_shape'] = img.shape[:2]
        return results

    def _load(self, path: str) -> np.ndarray:
        if path in self._kept:
            return self._kept[path].copy()
        img = self._decode(fileio.get(path, backend_args=self.backend_args))
        if self._kept_bytes + img.nbytes <= self.keep_mib * 2**20:
            self._kept[path] = img.copy()
            self._kept_bytes += img.nbytes
        return img

    def _tell(self, message: str) -> None:
        """Report a broken file once per run, whichever process meets it first."""
        message = encode(message).decode()
        log_file = MMLogger.get_current_instance().log_file
        number: int | None = len(self._broken)
        whose = 'this loader worker'
        if log_file is not None:
            with contextlib.suppress(OSError):
                number = add_line(Path(log_file).with_name(BROKEN_LIST), message)
                whose = 'this run'
        if number is None:
            return
        print_log(
            f'{message} (skipped; number {number} of {whose}. '
            "LoadImage(on_error='raise') makes it an error)",
            logger='current',
            # The only kind of line that processes other than the first may log.
            level=logging.WARNING if get_rank() == 0 else logging.ERROR,
        )

    def _decode(self, data: bytes) -> np.ndarray:
        if self.imdecode_backend in ('auto', 'cv2'):
            fast = self.imdecode_backend == 'auto'
            return decode(data, self.max_pixels, imread_flags[self.color_type], fast)
        decode(data, self.max_pixels)  # the other decoders do not report damage
        img = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
        if img is None:
            raise OSError(f'no image that {self.imdecode_backend} can read')
        return img

    def __repr__(self) -> str:
        return (
            f'{super().__repr__()[:-1]}, on_error={self.on_error!r}, '
            f'max_pixels={self.max_pixels}, keep_mib={self.keep_mib})'
        )
