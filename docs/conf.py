"""Settings of the documentation site. Build it with `make docs-site`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

import ropewalk  # noqa: E402

(HERE / "_build" / "extra").mkdir(parents=True, exist_ok=True)  # filled by generated_pages

project = "ropewalk"
author = "The ropewalk authors"
project_copyright = "The ropewalk authors, Apache-2.0"
release = ropewalk.__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "plain_docstrings",
    "generated_pages",
    "mathml",
    "source_links",
]
exclude_patterns = ["_build", "_extensions", "_static"]
suppress_warnings = [
    "myst.header",  # reports start their tables at the third level
    "ref.python",  # two classes in different modules may share a name
]

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["triton"]
autodoc_default_options = {"members": True, "show-inheritance": True}
python_maximum_signature_line_length = 88
python_display_short_literal_types = True

html_theme = "furo"
html_math_renderer = "mathml"
html_title = "ropewalk"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["_build/extra"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": "https://github.com/ropewalk/ropewalk/",
    "source_branch": "main",
    "source_directory": "docs/",
    "navigation_with_keys": True,
}
copybutton_exclude = ".linenos, .gp, .go"
