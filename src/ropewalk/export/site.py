"""A static site: the live page with the model inside the browser, for any server of plain files.

A folder with index.html, model.onnx and the runtime; nothing else is requested, from nowhere else. The first
picture is a stored example, drawn before the model has arrived.
"""

from pathlib import Path
from typing import Any

from ropewalk.errors import UserError
from ropewalk.export import onnx_graph, runtime
from ropewalk.export.lessons import LESSONS, sentence_for
from ropewalk.live.answers import LONGEST, Answers, Model
from ropewalk.native.decoder import Decoder
from ropewalk.system.folders import write_folder
from ropewalk.views import page

POLICY = f"{page.OFFLINE}; connect-src 'self'; worker-src 'self' blob:"
TITLE = "How far apart does a model think its tokens are?"


def site(folder: str | Path, model: Decoder, *, name: str | None = None) -> dict[str, float]:
    """Writes the site into `folder`, which must be new, empty or an earlier site; returns the graph's differences.

    model: a byte model of at most 14 MB as ONNX. UserError for another folder, for a model that is too large,
    and for what `graph.onnx` and `runtime` refuse. An earlier site stays as it is until the new one is complete.
    """
    folder = Path(folder)
    if model.config.vocab_size < 257 or model.own_tokenizer is not None:
        raise UserError("expected a byte model of 257 tokens for the site, got another; export that one.")
    others = (
        {path.name for path in folder.iterdir()} - {"index.html", "model.onnx", "runtime"}
        if folder.is_dir()
        else set()
    )
    if folder.is_file() or others:
        raise UserError(f"{folder} holds other files; name a new folder for the site.")
    name = name or str(model.provenance.get("name") or "model")
    found: dict[str, float] = {}

    def fill(temporary: Path) -> None:
        (temporary / "runtime").mkdir()
        runtime.copy_into(temporary / "runtime")
        found.update(onnx_graph.onnx(model, temporary / "model.onnx"))
        html = index(model, name, (temporary / "model.onnx").stat().st_size)
        (temporary / "index.html").write_text(html, encoding="utf-8")

    write_folder(folder, fill)
    return found


def index(model: Decoder, name: str, size: int) -> str:
    """The site's only page, with the stored examples inside."""
    answers = Answers({name: Model(model)})
    examples: list[dict[str, Any]] = []
    for lesson in LESSONS:
        answer = answers.answer({"model": name, "text": lesson.text})
        sentence = sentence_for(lesson, answers.untouched(name, lesson.text))
        examples.append({**answer, "title": lesson.title, "text": lesson.text, "lesson": sentence})
    first = examples[0]
    payload = {
        "mode": "site",
        "models": [name],
        "longest": LONGEST,
        "text": first["text"],
        "entries": [first["entry"]],
        "first": first,
        "examples": examples,
        "site": {
            "bytes": size,
            "context": model.context_length,
            "gap": model.gap,
            "rows": [[row.layer, row.head] for row in model.rows],
            "provenance": model.describe(),
        },
    }
    return page.document(
        payload, title=TITLE, module="export/site_page.js", policy=POLICY, allow="'self' 'wasm-unsafe-eval'"
    )
