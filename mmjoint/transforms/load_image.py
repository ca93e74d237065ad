"""LoadImage: decode a photo, or leave it out if its file is broken."""

import io
import logging

import cv2
import mmcv
import mmengine.fileio as fileio
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import print_log
from mmengine.registry import TRANSFORMS
from PIL import Image

try:
    import simplejpeg
except ImportError:  # an extra: `fast`
    simplejpeg = None


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that notices broken files.

    A missing, empty or truncated file is counted and named in the log, once a worker, and the data
    set takes another image in its place, so that one bad file among a million does not end a run.
    JPEGs are decoded by simplejpeg where it is installed (extra ``fast``): the pixels are OpenCV's,
    bit for bit, in less time.

    Required Keys:

    - img_path

    Modified Keys:

    - img
    - img_shape
    - ori_shape

    Args:
        on_error (str): ``'skip'`` or ``'raise'``, what to do with a broken file. Defaults to
            ``'skip'``.
        imdecode_backend (str): ``'auto'``, simplejpeg for what it decodes as OpenCV does and
            OpenCV for the rest, or one of mmcv's, such as ``'cv2'`` and ``'pillow'``. Defaults to
            ``'auto'``.
        to_float32, color_type, backend_args: As in ``LoadImageFromFile``.

    Raises:
        OSError: A broken file, if ``on_error='raise'``.
        ValueError: ``on_error`` is neither.
    """

    def __init__(
        self,
        on_error: str = 'skip',
        to_float32: bool = False,
        color_type: str = 'color',
        imdecode_backend: str = 'auto',
        backend_args: dict | None = None,
    ) -> None:
        super().__init__(to_float32, color_type, imdecode_backend, backend_args=backend_args)
        if on_error not in ('skip', 'raise'):
            raise ValueError(f"on_error must be 'skip' or 'raise', got {on_error!r}")
        self.on_error = on_error
        self._broken: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        path = results['img_path']
        try:
            data = fileio.get(path, backend_args=self.backend_args)
            img = self._decode(data)
        except (OSError, cv2.error) as error:
            message = f'broken image {path}: {error}'
            if self.on_error == 'raise':
                raise OSError(message) from error
            if path not in self._broken:
                self._broken.add(path)
                print_log(
                    f'{message} (skipped; number {len(self._broken)} of this loader worker. '
                    "LoadImage(on_error='raise') makes it an error)",
                    logger='current',
                    level=logging.WARNING,
                )
            return None
        if self.to_float32:
            img = img.astype(np.float32)
        results['img'] = img
        results['img_shape'] = img.shape[:2]
        results['ori_shape'] = img.shape[:2]
        return results

    def _decode(self, data: bytes) -> np.ndarray:
        if not data:
            raise OSError('the file is empty')
        # OpenCV 4 fills the missing part of a truncated JPEG with gray and says nothing. A JPEG
        # that does not close with its end marker is read by Pillow too, which raises.
        if data[:2] == b'\xff\xd8' and b'\xff\xd9' not in data[-64:]:
            Image.open(io.BytesIO(data)).load()
        backend = self.imdecode_backend
        if backend == 'auto':
            if simplejpeg and self.color_type == 'color' and _is_upright_jpeg(data):
                try:
                    return simplejpeg.decode_jpeg(data, 'BGR')
                except ValueError:  # damaged, CMYK: OpenCV reads some of these
                    pass
            backend = 'cv2'
        img = mmcv.imfrombytes(data, flag=self.color_type, backend=backend)
        if img is None:
            raise OSError('the file is truncated, or no image that OpenCV can read')
        return img

    def __repr__(self) -> str:
        return super().__repr__()[:-1] + f', on_error={self.on_error!r})'


def _is_upright_jpeg(data: bytes) -> bool:
    """Tell whether a file is a JPEG without EXIF, by whose orientation OpenCV turns the image."""
    if data[:2] != b'\xff\xd8':
        return False
    place = 2
    while data[place : place + 1] == b'\xff':
        marker = data[place + 1 : place + 2]
        if marker == b'\xda':  # the header ends where the scan starts
            return True
        if marker == b'\xe1' and data[place + 4 : place + 8] == b'Exif':
            return False
        place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], 'big'))
    return False
