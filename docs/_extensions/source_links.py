"""Links inline code: `src/ropewalk/x.py` to the file in the repository, `ropewalk.x.y` to its entry in the API reference."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

import ropewalk

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/ropewalk/ropewalk/blob/main/"
PUBLIC: dict[str, str] = getattr(ropewalk, "_MODULES", {})
NAME = re.compile(r"(ropewalk(?:\.\w+)+)(\(\))?")


class SourceLinks(SphinxTransform):
    default_priority = 220

    def apply(self, **kwargs: Any) -> None:
        for node in list(self.document.findall(nodes.literal)):
            if (
                isinstance(node.parent, nodes.reference | addnodes.pending_xref)
                or "/api/" in self.env.docname
            ):
                continue
            text = node.astext()
            if re.fullmatch(r"(src|tests|recipes|scripts|bench|docs|notebooks)/[\w./-]+", text):
                if not (ROOT / text).exists():
                    continue
                link: nodes.Element = nodes.reference("", "", refuri=REPOSITORY + text, internal=False)
            elif found := NAME.fullmatch(text):
                top, _, rest = found[1].removeprefix("ropewalk.").partition(".")
                home = PUBLIC.get(top)  # public names are indexed where they are defined
                target = f"ropewalk.{home}.{top}{'.' + rest if rest else ''}" if home else found[1]
                link = addnodes.pending_xref(
                    "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=False
                )
            else:
                continue
            node.replace_self(link)
            link += node


def setup(app: Any) -> dict[str, bool]:
    app.add_transform(SourceLinks)
    return {"parallel_read_safe": True}
