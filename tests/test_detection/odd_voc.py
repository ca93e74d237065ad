"""Odd data sets of VOC form: what each has, and what is right; see ``odd_annotations``."""

from collections.abc import Callable
from pathlib import Path

from odd_changes import HEIGHT, OBJECTS, WIDTH, Case, photo

NAMES = ('gecko', 'newt', 'gecko')


def voc_object(name: str, box: tuple[float, ...], more: str = '') -> str:
    edges = zip(('xmin', 'ymin', 'xmax', 'ymax'), box, strict=True)
    inner = ''.join(f'<{edge}>{value}</{edge}>' for edge, value in edges)
    return f'<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>'


def voc_file(number: int) -> str:
    size = f'<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>'
    objects = ''.join(
        voc_object(NAMES[(number + i) % 3], (11 + 50 * i, 21, 50 + 50 * i, 50 + number),
                   '<difficult>0</difficult>')
        for i in range(2)
    )  # fmt: skip
    return f'<annotation><filename>{number}.jpg</filename>{size}{objects}</annotation>'


def write_voc(root: Path, case: Case) -> None:
    """Write the folders ``train`` and ``test`` in VOC's layout, with a list ``all`` each."""
    for split in ('train', 'test'):
        folder = root / split
        for name in ('Annotations', 'ImageSets/Main', 'JPEGImages'):
            (folder / name).mkdir(parents=True)
        files = {f'Annotations/{number}.xml': voc_file(number) for number in range(1, 5)}
        files['ImageSets/Main/all.txt'] = '1\n2\n3\n4\n'
        for number in range(1, 5):
            photo(folder / f'JPEGImages/{number}.jpg')
        changed = split in case.splits
        if changed:
            case.change(files, folder)
        for name, text in files.items():
            if text is None:
                continue
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes((case.raw if changed else str.encode)(text))


def on_first(old: str, new: str) -> Callable:
    """Replace text of the first file."""

    def change(files: dict, folder: Path) -> None:
        assert old in files['Annotations/1.xml']
        files['Annotations/1.xml'] = files['Annotations/1.xml'].replace(old, new)

    return change


def on_every(old: str, new: str) -> Callable:
    def change(files: dict, folder: Path) -> None:
        for name in files:
            if name.endswith('.xml'):
                files[name] = files[name].replace(old, new)

    return change


def first_object(text: str) -> Callable:
    """Put an object in place of those of the first file."""
    return on_first(voc_file(1).partition('</size>')[2], f'{text}</annotation>')


def listed(text: str) -> Callable:
    return lambda files, folder: files.update({'ImageSets/Main/all.txt': text})


def same(files: dict, folder: Path) -> None:
    pass


def renamed(stem: str, line: str | None = None) -> Callable:
    """Give the first photo and its annotation another name."""

    def change(files: dict, folder: Path) -> None:
        files[f'Annotations/{stem}.xml'] = files.pop('Annotations/1.xml')
        (folder / f'JPEGImages/{stem}.jpg').parent.mkdir(exist_ok=True)
        (folder / 'JPEGImages/1.jpg').rename(folder / f'JPEGImages/{stem}.jpg')
        files['ImageSets/Main/all.txt'] = f'{line or stem}\n2\n3\n4\n'

    return change


def photos_with(suffix: str, names: tuple[str, ...] = ('1', '2', '3', '4')) -> Callable:
    def change(files: dict, folder: Path) -> None:
        for name in names:
            (folder / f'JPEGImages/{name}.jpg').unlink()
            photo(folder / f'JPEGImages/{name}{suffix}')

    return change


def beside(name: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Callable:
    return lambda files, folder: photo(folder / name, size)


def both(*changes: Callable) -> Callable:
    return lambda files, folder: [change(files, folder) for change in changes] and None


BOX = (11, 21, 50, 50)
FIRST = ('Annotations/1.xml', 'object 1')
VOC_CASES = [
    Case('whole', same),
    Case('no difficult', on_every('<difficult>0</difficult>', '')),
    Case('empty difficult', on_every('<difficult>0</difficult>', '<difficult/>')),
    Case('difficult', first_object(
        voc_object('newt', BOX) + voc_object('gecko', BOX, '<difficult>1</difficult>')),
        OBJECTS - 1),
    Case('difficult as a word', on_first('<difficult>0<', '<difficult>Unspecified<'), -1,
         (*FIRST, 'difficult')),
    Case('boxes with fractions', first_object(voc_object('newt', (11.5, 21.25, 50.5, 50.75))),
         OBJECTS - 1),
    Case('boxes from 0', first_object(voc_object('newt', (0, 0, WIDTH, HEIGHT))), OBJECTS - 1),
    Case('a box of one pixel', first_object(voc_object('newt', (11, 21, 11, 21))), OBJECTS - 1),
    Case('a reversed box', first_object(voc_object('newt', (50, 21, 11, 50))), -1,
         (*FIRST, 'xmax')),
    Case('a box upside down', first_object(voc_object('newt', (11, 50, 50, 21))), -1,
         (*FIRST, 'ymax')),
    Case('a box outside', first_object(voc_object('newt', (511, 21, 550, 50))), -1,
         (*FIRST, 'bndbox', 'outside')),
    Case('a box with NaN', first_object(voc_object('newt', ('NaN', 21, 50, 50))), -1,
         (*FIRST, 'bndbox/xmin')),
    Case('a box with a word', first_object(voc_object('newt', ('left', 21, 50, 50))), -1,
         (*FIRST, 'bndbox/xmin')),
    Case('no bndbox', first_object('<object><name>newt</name></object>'), -1, (*FIRST, 'bndbox')),
    Case('no xmax', on_first('<xmax>50</xmax>', ''), -1, (*FIRST, 'bndbox/xmax')),
    Case('no name', first_object('<object><name/></object>'), -1, (*FIRST, 'name')),
    Case('spaces about a name', on_every('<name>newt<', '<name> newt\n<')),
    Case('no object in a file', first_object(''), OBJECTS - 2),
    Case('parts of an object', on_first('<bndbox>', '<part><name>head</name></part><bndbox>')),
    Case('no size', on_first(f'<size><width>{WIDTH}</width><height>{HEIGHT}</height>'
                             '<depth>3</depth></size>', '')),
    Case('size 0', on_first(f'<width>{WIDTH}</width><height>{HEIGHT}<',
                            '<width>0</width><height>0<')),
    Case('size as a word', on_first(f'<width>{WIDTH}<', '<width>wide<'), -1,
         ('Annotations/1.xml', 'width')),
    Case('another size than the photo', on_first(f'<width>{WIDTH}<', '<width>512<'), -1,
         ('Annotations/1.xml', '512 x 96', '128 x 96')),
    Case('size turned', on_first(f'<width>{WIDTH}</width><height>{HEIGHT}<',
                                 f'<width>{HEIGHT}</width><height>{WIDTH}<'), -1,
         ('Annotations/1.xml', '96 x 128')),
    Case('no truncated and no pose', on_every('<difficult>0</difficult>', '')),
    Case('XML cut short', on_first('</annotation>', ''), -1, ('Annotations/1.xml', 'not a VOC')),
    Case('an empty XML', lambda files, folder: files.update({'Annotations/1.xml': ''}), -1,
         ('Annotations/1.xml', 'not a VOC')),
    Case('entities without end', lambda files, folder: files.update({
        'Annotations/1.xml': '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">' + ''.join(
            f'<!ENTITY a{i} "{f"&a{i - 1 if i else str()};" * 10}">' for i in range(12))
        + ']><annotation>&a11;</annotation>'}), -1, ('Annotations/1.xml', 'not a VOC')),
    Case('an unknown encoding', on_first(
        '<annotation>', '<?xml version="1.0" encoding="klingon"?><annotation>'), -1,
        ('Annotations/1.xml', 'not a VOC')),
    Case('byte-order marks', same, raw=lambda text: text.encode('utf-8-sig')),
    Case('CRLF', same, raw=lambda text: text.replace('\n', '\r\n').encode()),
    Case('a name with spaces', renamed('my photo')),
    Case('a name that ends in 1', renamed('my photo 1')),
    Case('a name with dots', renamed('a.b.c')),
    Case('a name with umlauts', renamed('Grüße')),
    Case('a subfolder', renamed('sub/1')),
    Case('a list of a class', listed('1 -1\n2  1\n3  0\n4 -1\n')),
    Case('a list with endings', listed('1.jpg\n2.jpg\n3.jpg\n4.jpg\n')),
    Case('empty lines', listed('\n1\n\n2\n3\n4\n\n')),
    Case('a name twice', listed('1\n2\n3\n4\n4\n')),
    Case('two meanings of a line', both(
        lambda files, folder: files.update({'Annotations/1 1.xml': voc_file(1)}),
        beside('JPEGImages/1 1.jpg'), listed('1 1\n2\n')), -1, ('all.txt', 'line 1')),
    Case('a name without annotation', listed('1\n2\n3\n4\n5\n'), -1, ('all.txt', '5.xml')),
    Case('no photo', lambda files, folder: (folder / 'JPEGImages/1.jpg').unlink(), -1,
         ('Annotations/1.xml', '1.jpg')),
    Case('PNG photos', photos_with('.png')),
    Case('capital endings', photos_with('.JPG')),
    Case('photos of several formats', photos_with('.webp', ('1', '3'))),
    Case('two photos, one named', beside('JPEGImages/1.png')),
    Case('two photos, none named', both(
        beside('JPEGImages/1.png'), on_first('<filename>1.jpg</filename>', '')), -1,
        ('Annotations/1.xml', '1.jpg and 1.png')),
    Case('hidden files', both(beside('JPEGImages/._1.jpg'),
                              lambda files, folder: files.update({'Annotations/._1.xml': 'x'}))),
    Case('a photo that is text', lambda files, folder: (
        folder / 'JPEGImages/1.jpg').write_bytes(b'hello') and None, -1, ('1.jpg',)),
    Case('a class that training lacks', on_first('<name>newt<', '<name>toad<'), -1,
         ('test/Annotations/1.xml', "toad"), splits=('test',)),
    Case('a class that test lacks', on_every('<name>newt<', '<name>gecko<'), splits=('test',)),
]  # fmt: skip
