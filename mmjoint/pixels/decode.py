"""Decodes all photos that mmjoint reads, within limits, and detects damage.

OpenCV and Pillow fill the missing parts of a damaged JPEG with gray or noise and continue; only a
warning of the decoder reveals the damage. Here such a warning is an error, whichever library
decodes, and the size is read from the header before anything is decoded.
"""

import io
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    import cv2
except ImportError as _error:
    raise ImportError(
        f'photos are decoded by OpenCV, which cannot be imported ({_error}): pip install '
        'opencv-python, or opencv-python-headless where there is no display'
    ) from _error
try:
    import simplejpeg
except ImportError:  # part of the optional extra `fast`
    simplejpeg = None

# Pillow refuses larger images too; this many pixels are 512 MiB in RGB.
MAX_PIXELS = 178_956_970
# Scans of a progressive JPEG, which usually has about ten; each costs a pass over the image.
MAX_SCANS = 100

_START, _END, _SCAN = b'\xff\xd8', b'\xff\xd9', b'\xff\xda'
_COMPLAINT = re.compile(r'(Corrupt JPEG data|Premature end of|Inconsistent progression).*')
# Warnings of libjpeg that do not concern the pixels.
_HARMLESS = re.compile(
    r'unknown JFIF revision|Unknown Adobe color transform|Invalid SOS parameters|bad ICC marker'
)
_SURPLUS = re.compile(r'(\d+) extraneous bytes before marker 0xd9')
# Bytes that libjpeg may have read ahead of what it decodes.
_READ_AHEAD = 16
# In most JPEGs the size lies within these bytes, even after a thumbnail.
_HEAD = 1 << 16
# Of TIFF's tag Compression: deflate, by its number of Adobe's and by its first.
_DEFLATE = (8, 32946)
_BLOCK = 1 << 20


def read_image(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> np.ndarray:
    """Read and decode a local image file.

    Args:
        path (str | Path): The file.
        max_pixels (int, optional): As documented in :func:`decode`.

    Returns:
        np.ndarray: The array that :func:`decode` returns.

    Raises:
        OSError: It cannot be read, or as documented in :func:`decode`; the message names the file.
    """
    try:
        return decode(Path(path).read_bytes(), max_pixels)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f'broken image {path}: {error.strerror or error}') from error


def read_size(path: str | Path, max_pixels: int | None = MAX_PIXELS) -> tuple[int, int]:
    """Read the size of an image from its header, without decoding it.

    Args:
        path (str | Path): The file.
        max_pixels (int, optional): As of :func:`decode`.

    Returns:
        tuple[int, int]: Width and height in pixels, oriented as EXIF says, as for the image from
        :func:`decode`.

    Raises:
        OSError: It cannot be read, is not an image, or has more pixels than ``max_pixels``; the
            message names the file.
    """
    try:
        with open(path, 'rb') as file:
            head = file.read(_HEAD)
            if not head:
                raise OSError('the file is empty')
            if head[:2] != _START:
                return _size_by_pillow(file, max_pixels)
            try:
                header = _jpeg_header(head)
            except OSError:
                header = _jpeg_header(head + file.read())
            _check_size(header.width, header.height, max_pixels)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OSError(f'broken image {path}: {error.strerror or error}') from error
    turned = header.orientation >= 5
    return (header.height, header.width) if turned else (header.width, header.height)


def _size_by_pillow(file: BinaryIO, max_pixels: int | None) -> tuple[int, int]:
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(file) as image:
            size = image.size
            if image.format == 'TIFF':  # Pillow may already return the oriented size
                size = image.tag_v2[256], image.tag_v2[257]
            _check_size(size[0], size[1], max_pixels)
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            return size[::-1] if turned else size
    except UnidentifiedImageError as error:
        raise OSError('truncated, or not an image whose size can be read') from error
    except (ValueError, SyntaxError, EOFError, KeyError, TypeError) as error:
        raise OSError(f'damaged ({error})') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def decode(
    data: bytes,
    max_pixels: int | None = MAX_PIXELS,
    flag: int = cv2.IMREAD_COLOR,
    fast: bool = True,
) -> np.ndarray:
    """Decode an image file, oriented as its EXIF says.

    Values of 16 bits become 8 bits, gray becomes three equal channels, alpha is dropped. JPEGs are
    decoded by simplejpeg if it is installed (with exactly the pixels of OpenCV), all others by
    OpenCV.

    Args:
        data (bytes): The content of the file.
        max_pixels (int, optional): Width times height above which a file is refused before it is
            decoded; None for no limit. Defaults to ``MAX_PIXELS``.
        flag (int): OpenCV's flag for another kind of array. Defaults to ``cv2.IMREAD_COLOR``.
        fast (bool): Whether simplejpeg may be used. Defaults to True.

    Returns:
        np.ndarray: The image, of shape (H, W, 3), BGR, uint8, unless ``flag`` says otherwise.

    Raises:
        OSError: The file is empty, truncated, damaged or not an image, has more pixels than
            ``max_pixels``, or has 32-bit values, whose value for white is unknown.
    """
    if not data:
        raise OSError('the file is empty')
    if data[:2] == _START:
        header = _jpeg_header(data)
        _check_size(header.width, header.height, max_pixels)
        if fast and simplejpeg and flag == cv2.IMREAD_COLOR:
            img = _decode_jpeg(data, header)
            if img is not None:
                return img
        return _decode_with_opencv(data, header, flag)
    if data[:8] == b'\x89PNG\r\n\x1a\n':
        width, height = (int.from_bytes(data[at : at + 4], 'big') for at in (16, 20))
        _check_size(width, height, max_pixels)
    else:
        _check_other(data, max_pixels)
    img = _imdecode(data, flag)
    if img is None:
        raise OSError('the file is truncated or damaged, or not an image that OpenCV can read')
    return img


def _imdecode(data: bytes, flag: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise OSError(f'OpenCV cannot read it ({" ".join(str(error).split())})') from error


def _check_size(width: int, height: int, max_pixels: int | None) -> None:
    if max_pixels is not None and width * height > max_pixels:
        raise OSError(
            f'its header says {width} x {height} pixels, more than max_pixels={max_pixels}'
        )


class _JpegHeader(NamedTuple):
    width: int
    height: int
    orientation: int  # EXIF's value, 1 to 8; 1 is upright
    scan: int  # where the first scan starts
    sequential: bool


def _jpeg_header(data: bytes) -> _JpegHeader:
    """Read the segments before the first scan.

    Where a marker is missing it does not search for the next one, as libjpeg does with a warning;
    so what is read here is what libjpeg reads.
    """
    place, sof, orientation = 2, 0, 1
    while len(data) >= place + 4 and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xDA:
            break
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a segment
            place += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            sof = place
        elif marker == 0xE1 and data[place + 4 : place + 10] == b'Exif\0\0':
            length = int.from_bytes(data[place + 2 : place + 4], 'big')
            orientation = _orientation(data[place + 10 : place + 2 + length])
        place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4], 'big'))
    if not sof or data[place : place + 2] != _SCAN:
        raise OSError('its JPEG header is truncated or damaged')
    height = int.from_bytes(data[sof + 5 : sof + 7], 'big')
    width = int.from_bytes(data[sof + 7 : sof + 9], 'big')
    if data[sof + 1] not in (0xC0, 0xC1) and data.count(_SCAN) > MAX_SCANS:
        raise OSError(f'a progressive JPEG of more than {MAX_SCANS} scans')
    return _JpegHeader(width, height, orientation, place, data[sof + 1] in (0xC0, 0xC1))


def _orientation(exif: bytes) -> int:
    """Return the orientation in EXIF's first directory; 1, upright, if it has none."""
    orders: dict[bytes, Literal['little', 'big']] = {b'II': 'little', b'MM': 'big'}
    order = orders.get(exif[:2])
    if order is None:
        return 1
    start = int.from_bytes(exif[4:8], order)
    for i in range(int.from_bytes(exif[start : start + 2], order)):
        entry = exif[start + 2 + 12 * i : start + 14 + 12 * i]
        if int.from_bytes(entry[:2], order) == 0x0112:
            value = int.from_bytes(entry[8:10], order)
            return value if 1 <= value <= 8 else 1
    return 1


def _decode_jpeg(data: bytes, header: _JpegHeader) -> np.ndarray | None:
    """Decode by simplejpeg; None for kinds that it cannot decode, such as CMYK."""
    try:
        img = simplejpeg.decode_jpeg(data, 'BGR')
    except ValueError as error:
        message, scan = str(error), header.scan
        if _HARMLESS.search(message):
            # libjpeg reports only the first warning, so check whether another one follows.
            data = _plain_header(data, header)
            scan = _jpeg_header(data).scan
            try:
                img, message = simplejpeg.decode_jpeg(data, 'BGR'), ''
            except ValueError as second:
                message = str(second)
        if message and not _is_padded(data, scan, message):
            if _COMPLAINT.search(message):
                raise OSError(message) from error
            return None
        if message:
            img = simplejpeg.decode_jpeg(data, 'BGR', strict=False)
    return img if header.orientation == 1 else _turned(img, header.orientation)


def _turned(img: np.ndarray, orientation: int) -> np.ndarray:
    if orientation >= 5:
        img = cv2.transpose(img)
    axes = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
    return cv2.flip(img, axes[orientation]) if orientation in axes else img


def _plain_header(data: bytes, header: _JpegHeader) -> bytes:
    """Return a JPEG without the parts that cause harmless warnings."""
    parts, place = [data[:2]], 2
    while place < header.scan:
        marker = data[place + 1]
        alone = marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD7
        length = 2 + max(2, int.from_bytes(data[place + 2 : place + 4], 'big'))
        segment = b'' if alone else data[place : place + length]
        if marker == 0xEE and segment[4:9] == b'Adobe' and len(segment) > 15:
            segment = segment[:15] + bytes([min(segment[15], 1)]) + segment[16:]
        if marker == 0xE0 and segment[4:9] == b'JFIF\0':
            segment = segment[:9] + b'\1' + segment[10:]
        if not 0xE1 <= marker <= 0xED:
            parts.append(segment)
        place += (1 if marker == 0xFF else 2) if alone else length
    scan = place + 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
    if header.sequential:
        return b''.join([*parts, data[place : scan - 3], b'\0\x3f\0', data[scan:]])
    return b''.join([*parts, data[place:]])


def _is_padded(data: bytes, scan: int, message: str) -> bool:
    """Tell whether the only fault is padding between the last pixel and the end mark.

    Padding is one repeated byte of which no pixel needed any. What a hole leaves behind is data of
    pixels that were not reached, or part of the hole itself.
    """
    surplus = _SURPLUS.search(message)
    if surplus is None:
        return False
    scans = data[: data.find(_END, scan)]
    run = len(scans) - len(scans.rstrip(scans[-1:]))
    return int(surplus[1]) <= run <= int(surplus[1]) + _READ_AHEAD


def _decode_with_opencv(data: bytes, header: _JpegHeader, flag: int) -> np.ndarray:
    """Decode a JPEG by OpenCV, whose libjpeg can warn only on standard error."""
    with _STDERR as told:
        img = _imdecode(data, flag)
    complaint = _COMPLAINT.search(told.text)
    if img is None or (complaint and not _is_padded(data, header.scan, complaint[0])):
        raise OSError(complaint[0] if complaint else 'not a JPEG that OpenCV can read')
    if _HARMLESS.search(told.text):
        # libjpeg reports only the first warning, so check whether another one follows.
        plain = _plain_header(data, header)
        if plain != data:
            _decode_with_opencv(plain, _jpeg_header(plain), flag)
    return img


class _Stderr:
    """Captures what C code writes to standard error, and passes on everything else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._owner = 0
        self.text = ''

    def __enter__(self) -> '_Stderr':
        self._lock.acquire()
        if self._file is None or self._owner != os.getpid():  # a forked worker needs its own
            self._file, self._owner = tempfile.TemporaryFile(buffering=0), os.getpid()
        self._kept = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        os.dup2(self._kept, 2)
        os.close(self._kept)
        size = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        written = b''
        if size:
            self._file.seek(0)
            written = self._file.read(size)
            self._file.seek(0)
            self._file.truncate()
        self.text = written.decode(errors='replace')
        others = [line for line in self.text.splitlines(True) if not _is_of_libjpeg(line)]
        self._lock.release()
        if others:
            os.write(2, ''.join(others).encode())


def _is_of_libjpeg(line: str) -> bool:
    return bool(_COMPLAINT.search(line) or _HARMLESS.search(line) or not line.strip())


_STDERR = _Stderr()


def _check_other(data: bytes, max_pixels: int | None) -> None:
    """Check a file that is neither JPEG nor PNG with Pillow, before OpenCV decodes it."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_size(image.width, image.height, max_pixels)
            if image.mode == 'F' or (image.format == 'TIFF' and image.mode == 'I'):
                raise OSError(
                    f'{image.format} of more than 16 bits per value or with a sign, whose value '
                    'for white is unknown; save it with 8 or 16 bits'
                )
            if image.format == 'TIFF':
                image.load()  # OpenCV ignores a strip that cannot be decompressed
                _check_deflated(data, image.tag_v2)
    except UnidentifiedImageError as error:
        raise OSError('truncated, or not an image whose size can be read') from error
    except (ValueError, SyntaxError, EOFError, KeyError, TypeError) as error:
        raise OSError(f'damaged ({error})') from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _check_deflated(data: bytes, tags: Mapping[int, Any]) -> None:
    """Compare the checksums of a TIFF's strips or tiles, at which libtiff does not look."""
    if tags.get(259) not in _DEFLATE:
        return
    starts, lengths = (tags[273], tags[279]) if 273 in tags else (tags[324], tags[325])
    for start, length in zip(starts, lengths, strict=True):
        strip, rest = zlib.decompressobj(), data[start : start + length]
        while rest and not strip.eof:
            try:
                strip.decompress(rest, _BLOCK)
            except zlib.error as error:
                raise OSError(f'damaged (a strip of its TIFF: {error})') from error
            rest = strip.unconsumed_tail
