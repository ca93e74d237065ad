"""The browser that tests look at pages with: it sees what is wrong with one."""

PAGE = """<!doctype html><meta charset="utf-8"><title>page</title>
<style>body { margin: 0; color: rgb(1, 2, 3) }
@media (prefers-color-scheme: dark) { body { color: rgb(4, 5, 6) } }
@media print { body { color: rgb(7, 8, 9) } }</style>
<button onclick="this.textContent = 'clicked'">press</button>
<input onkeydown="this.dataset.key = event.key">%s"""
COLOR = 'getComputedStyle(document.body).color'


def write(folder, extra=''):
    path = folder / 'page.html'
    path.write_text(PAGE % extra)
    return path


def test_a_sound_page(open_page, tmp_path):
    page = open_page(
        write(
            tmp_path,
            '<img alt="" src="data:image/svg+xml,%3Csvg xmlns=%22http:'
            '//www.w3.org/2000/svg%22 width=%229%22 height=%229%22/%3E">',
        )
    )
    assert page.errors == [] and page.broken_images() == [] and page.overflow == 0
    assert page.requests == [(tmp_path / 'page.html').as_uri()]
    page.click('button')
    assert page.evaluate('document.querySelector("button").textContent') == 'clicked'
    page.click('input')
    page.press('a')
    assert page.evaluate('document.querySelector("input").value') == 'a'
    page.press('ArrowLeft')
    assert page.evaluate('document.querySelector("input").dataset.key') == 'ArrowLeft'


def test_faults_are_seen(open_page, tmp_path):
    page = open_page(
        write(
            tmp_path,
            '<img alt="lost" src="lost.png"><div style="width: 2000px">wide</div>'
            '<script>console.error("told", 1); setTimeout(() => { throw Error("no") })</script>',
        ),
        width=400,
    )
    assert page.evaluate('new Promise(r => setTimeout(() => r(5), 50))') == 5
    errors = '\n'.join(page.errors)
    assert 'told 1' in errors and 'Error: no' in errors and 'ERR_FILE_NOT_FOUND' in errors
    assert page.broken_images() == ['lost'] and page.overflow == 1600
    assert len(page.requests) == 2


def test_dark_and_print(open_page, tmp_path):
    path = write(tmp_path)
    assert open_page(path).evaluate(COLOR) == 'rgb(1, 2, 3)'
    assert open_page(path, dark=True).evaluate(COLOR) == 'rgb(4, 5, 6)'
    assert open_page(path, media='print').evaluate(COLOR) == 'rgb(7, 8, 9)'
