"""The page's modules: bundled in the order of their imports, each in a scope of its own."""

from collections.abc import Callable

import pytest

from ropewalk.views.page import bundler
from ropewalk.views.page.minify import minify_css, minify_js

Files = Callable[[dict[str, str]], None]


@pytest.fixture
def package(tmp_path, monkeypatch: pytest.MonkeyPatch) -> Files:
    def put(sources: dict[str, str]) -> None:
        for name, source in sources.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(source)
        monkeypatch.setattr(bundler, "files", lambda _: tmp_path)
        bundler.bundle.cache_clear()

    yield put
    bundler.bundle.cache_clear()


def test_modules_come_after_what_they_import(package: Files) -> None:
    package({
        "a/main.js": 'import { two } from "../b/low.js";\n// a comment\n  two();\n',
        "b/low.js": "const own = 1;\nexport function two() {\n  return own;\n}\n",
    })  # fmt: skip
    script = bundler.bundle("a/main.js")
    assert script.index("$.b_low=") < script.index("$.a_main=")
    assert "const{two}=$.b_low;" in script and "return{two};" in script
    assert "export" not in script and "comment" not in script


@pytest.mark.parametrize(
    ("sources", "wrong"),
    [
        (
            {"a.js": 'import { x } from "./b.js";\n', "b.js": 'import { y } from "./a.js";\n'},
            "import each other",
        ),
        ({"a.js": 'import { x } from "./none.js";\n'}, "does not exist"),
        ({"a.js": 'import { x } from "./b.js";\n', "b.js": "const x = 1;\n"}, "does not export"),
        ({"a.js": "export default 1;\n"}, "not joined: export default"),
        ({"a.js": 'import x from "./b.js";\n', "b.js": ""}, "not joined: import x"),
    ],
)
def test_what_cannot_be_joined_is_refused(package: Files, sources: dict[str, str], wrong: str) -> None:
    package(sources)
    with pytest.raises(ValueError, match=wrong):
        bundler.bundle("a.js")


@pytest.mark.parametrize(
    "entry",
    [
        "views/page/page.js",
        "views/page/several.js",
        "views/page/film.js",
        "live/live_page.js",
        "export/site_page.js",
    ],
)
def test_the_pages_own_modules_are_joined(entry: str) -> None:
    assert bundler._key(entry) in bundler.bundle(entry)


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ("const a = 1 + 2; // sum\n  // more\n  f( a );\n", "const a=1+2;\nf(a);"),
        ("f(\"a  // b\", 'c  d')", "f(\"a  // b\",'c  d')"),
        (
            "g(`x  ${ f( `y  ${ 1 + 1 }  z` ) + { a: 1 }.a }  // no`)",
            "g(`x  ${f(`y  ${1+1}  z`)+{a:1}.a}  // no`)",
        ),
        ('x = /[/ ]  "/g.test(y) / 2 / z', 'x=/[/ ]  "/g.test(y)/2/z'),
        ("return a - -b + +c in d", "return a- -b+ +c in d"),
        ("a\n\n\nb", "a\nb"),
    ],
)
def test_blanks_and_comments_go_and_what_is_quoted_stays(given: str, want: str) -> None:
    assert minify_js(given).strip() == want


def test_a_style_sheet_keeps_its_selectors() -> None:
    assert minify_css("a b > c , d:hover { color: red ;\n margin: 0 1px; } /* x */") == (
        "a b>c,d:hover{color:red;margin:0 1px}"
    )
