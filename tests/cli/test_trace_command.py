from __future__ import annotations

import json

import numpy as np

from ropewalk.measure.capture import trace
from ropewalk.native import checkpoint
from ropewalk.traces import archive


def test_files_are_traced_into_a_folder_and_not_twice(ropewalk, model, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"body": "one"}) + "\n" + json.dumps({"body": "文"}) + "\n")
    (tmp_path / "b.txt").write_text("three")
    words = ("trace", tmp_path / "a.jsonl", tmp_path / "b.txt", "--out", tmp_path / "out", "--model", model)
    first = ropewalk(*words, "--text-key", "body")
    assert first.status == 0 and "11 bytes of text, 11 of them now" in first.err
    again = ropewalk(*words, "--text-key", "body")
    assert again.status == 0 and "11 bytes of text, 0 of them now" in again.err
    made = list(archive.read(tmp_path / "out"))
    assert [one.text for one in made] == ["one", "文", "three"]
    assert np.allclose(made[2].values, trace(checkpoint.load_decoder(model), "three").values, atol=2e-5)
    assert "precision" not in made[0].provenance


def test_a_precision_is_remembered(ropewalk, model, tmp_path):
    (tmp_path / "a.txt").write_text("one")
    words = ("trace", tmp_path / "a.txt", "--out", tmp_path / "out", "--model", model, "-q")
    done = ropewalk(*words, "--precision", "bfloat16", "--start", "none")
    assert (done.status, done.err) == (0, "")
    (made,) = archive.read(tmp_path / "out")
    assert made.provenance["precision"] == "bfloat16" and made.context["start"] == "none"
    refused = ropewalk(*words)
    assert refused.status == 1 and "another model, text or setting" in refused.err


def test_files_that_cannot_be_traced_are_content(ropewalk, model, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "a.doc").write_text("a")
    for name, said in (("none.txt", "no such file"), ("a.doc", "soffice --headless"),
                       ("empty.txt", "the files hold no text")):  # fmt: skip
        answer = ropewalk("trace", tmp_path / name, "--out", tmp_path / "out", "--model", model)
        assert answer.status == 1 and said in answer.err
    assert not (tmp_path / "out").exists()
