"""The commands that write pages, films and sites, and the one that serves."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from samples import CHINESE, sample
from test_page import payload
from tiny import config, moved
from typer.testing import CliRunner

from ropewalk.cli.export import export_site
from ropewalk.cli.gallery import gallery
from ropewalk.cli.page import film, page
from ropewalk.cli.show import show
from ropewalk.cli.trace import trace
from ropewalk.cli.view import view
from ropewalk.errors import UserError
from ropewalk.native import checkpoint
from ropewalk.native.decoder import Decoder

app = typer.Typer()
for function in (view, page, film, export_site, gallery, show, trace):
    app.command()(function)


def run(*words: str) -> Any:
    result = CliRunner().invoke(app, list(words))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    sample(CHINESE, 2).save(tmp_path / "t.json")
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for step in (1, 20):
        model = moved(Decoder(config(), seed=step))
        checkpoint.save_decoder(tmp_path / "run" / "checkpoints" / f"step-{step:08d}", model, {})
    return tmp_path / "run"


def test_a_page_is_written_from_saved_traces(saved: Path) -> None:
    (saved / "gold.json").write_text(json.dumps({"name": "gold words", "offsets": [6]}))
    run("page", str(saved / "t.json"), str(saved / "t.json"), "--out", str(saved / "p.html"), "--name", "one",
        "--name", "two", "--overlay", "entropy", "--boundaries", str(saved / "gold.json"))  # fmt: skip
    html = (saved / "p.html").read_text(encoding="utf-8")
    assert '"name":"one"' in html and '"name":"two"' in html
    assert html.count('"name":"gold words"') == 2 and html.count('"name":"entropy peaks"') == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--out", "p.txt"], "ends in .html"),
        (["--overlay", "tea leaves"], "must be one of entropy, jieba"),
        (["--name", "a", "--name", "b"], "one per trace"),
        (["--boundaries", "missing.json"], "missing.json"),
    ],
)
def test_a_page_that_cannot_be_made_is_content(
    saved: Path, words: list[str], reason: str, monkeypatch: Any
) -> None:
    monkeypatch.chdir(saved)
    with pytest.raises(UserError, match=reason):
        run("page", "t.json", *words)
    assert not (saved / "page.html").exists()


def test_a_film_is_written_from_a_run(folder: Path, tmp_path: Path) -> None:
    run("film", str(folder), "--text", "rope", "--out", str(tmp_path / "f.html"))
    html = (tmp_path / "f.html").read_text(encoding="utf-8")
    assert '"name":"step 1 · ' in html and '"name":"step 20 · ' in html


def test_a_gallery_compares_an_archive_with_a_random_network_and_another_seed(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The rope went on.")
    models = [str(folder / "checkpoints" / f"step-{step:08d}") for step in (1, 20)]
    for name, model in zip(("one", "two"), models, strict=True):
        run("trace", str(tmp_path / "a.txt"), "--out", str(tmp_path / name), "--model", model, "--quiet")
    out = tmp_path / "g.html"
    run(
        "gallery",
        str(tmp_path / "one"),
        "--model",
        models[0],
        "--against",
        str(tmp_path / "two"),
        "--out",
        str(out),
    )
    controls = payload(out.read_text(encoding="utf-8"))["controls"]
    assert [one["name"] for one in controls] == ["random network", "two"]
    assert all(len(one["agreement"]) == 2 for one in controls)


def test_a_page_can_show_attention_and_what_was_expected(folder: Path, tmp_path: Path) -> None:
    model, out = str(folder / "checkpoints" / "step-00000001"), tmp_path / "s.html"
    run("show", "rope", "--model", model, "--html", str(out), "--attention", "--quiet")
    (entry,) = payload(out.read_text(encoding="utf-8"))["entries"]
    assert len(entry["expected"]) == 4 and entry["attention"]["count"] == 5
    with pytest.raises(UserError, match="--attention adds to the page of --html"):
        run("show", "rope", "--model", model, "--attention")


def test_a_film_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least two checkpoints, got 0"):
        run("film", str(tmp_path))


def test_view_serves_the_models_it_is_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(
        "ropewalk.live.serve", lambda models, text, **how: seen.update(models=models, text=text, **how)
    )
    one = str(folder / "checkpoints" / "step-00000001")
    run("view", one, one, "--text", "rope", "--port", "8123", "--no-browser")
    assert list(seen["models"]) == ["step-00000001", "step-00000001 (2)"]
    assert (seen["text"], seen["port"], seen["browser"]) == ("rope", 8123, False)


def test_a_site_of_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        run("export-site", str(tmp_path / "site"), "--model", str(tmp_path / "no-model"))


@pytest.mark.parametrize("command", ["view", "page", "film", "export-site", "gallery"])
def test_help_has_examples(command: str) -> None:
    assert "Examples" in run(command, "--help").output
