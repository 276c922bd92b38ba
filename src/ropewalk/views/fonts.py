"""Which fonts draw a text in matplotlib, on a machine with many fonts or with none of its own.

DejaVu Sans, which comes inside matplotlib, draws Latin, Greek, Cyrillic, Arabic and Hebrew.
Chinese, Japanese and Korean take an installed font first (Chinese forms before Japanese ones) and
else the one inside the package notojp-matplotlib. Any other character takes whatever installed font
has it. What no font has is reported, never drawn as an empty box.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import regex

from ropewalk.errors import UserError

BASE = "DejaVu Sans"

_EAST_ASIAN = regex.compile(
    r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\u3000-\u303f\u31c0-\u31ef\uff00-\uffef]"
)
_SILENT = regex.compile(r"[\p{Default_Ignorable_Code_Point}\s]")
_PREFERRED = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Microsoft YaHei", "Hiragino Sans GB", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Heiti SC", "SimHei",
    "Noto Sans CJK TC", "Noto Sans TC", "PingFang TC", "Microsoft JhengHei", "Noto Sans CJK JP",
    "Noto Sans JP",
    "Hiragino Sans", "Yu Gothic", "IPAexGothic", "Noto Sans CJK KR", "Noto Sans KR", "Malgun Gothic",
    "Apple SD Gothic Neo", "Arial Unicode MS",
)  # fmt: skip


class Fonts(NamedTuple):
    """Font families to try in this order, and the characters that none of them has."""

    families: tuple[str, ...]
    missing: frozenset[str]


def for_text(text: str) -> Fonts:
    """The families that draw `text`.

    UserError when it holds Chinese, Japanese or Korean characters, no installed font has them and
    the package notojp-matplotlib is missing too.
    """

    left = {character for character in text if not _SILENT.match(character)}
    left -= _coverage(BASE)
    chosen = [BASE]

    def take(family: str) -> None:
        nonlocal left
        covered = left & _coverage(family)
        if covered:
            chosen.append(family)
            left -= covered

    installed = _regular()
    for family in _PREFERRED:
        if left and family in installed:
            take(family)
    bundled = _bundled()
    if any(map(_EAST_ASIAN.match, left)):
        if bundled is None:
            raise UserError(
                "expected a font with Chinese, Japanese or Korean characters on this machine, found none; "
                "run: pip install 'ropewalk[pictures]'"
            )
        take(_register(bundled))
    for family in sorted(installed):
        if left and not _is_special(family):
            take(family)
    return Fonts(tuple(chosen), frozenset(left))


def _bundled() -> Path | None:
    """The font file inside notojp-matplotlib, found without importing it: that changes settings."""
    spec = find_spec("notojp_matplotlib")
    if spec is None or spec.origin is None:
        return None
    found = sorted(Path(spec.origin).parent.glob("fonts/*.otf"))
    return found[0] if found else None


def _register(path: Path) -> str:
    """The family name of the font file, made known to matplotlib once."""
    from matplotlib.font_manager import fontManager

    known = {entry.fname: entry.name for entry in fontManager.ttflist}
    if str(path) not in known:
        fontManager.addfont(str(path))
        known = {entry.fname: entry.name for entry in fontManager.ttflist}
    return known[str(path)]


def _is_special(family: str) -> bool:
    """Fonts that have a glyph for everything, glyphs in color, or old mathematical encodings."""
    return family.startswith(("Last Resort", "cm", "STIX")) or "Color" in family


def _regular() -> dict[str, Any]:
    """matplotlib's entry for the upright, regular face of every family it knows."""
    from matplotlib.font_manager import fontManager

    entries = fontManager.ttflist
    return {e.name: e for e in entries if e.style == "normal" and e.weight in (400, "normal", "regular")}


def _coverage(family: str) -> set[str]:
    """The characters that `family` has glyphs for; none when its file cannot be read."""
    from matplotlib.ft2font import FT2Font

    entry = _regular().get(family)
    if entry is None:
        return set()
    try:
        return {chr(code) for code in FT2Font(entry.fname, face_index=entry.index).get_charmap()}
    except (OSError, RuntimeError):
        return set()
