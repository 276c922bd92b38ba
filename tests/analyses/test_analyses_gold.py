from __future__ import annotations

import made
import numpy as np
import pytest

from ropewalk.analyses import gaps, gold, segmentation
from ropewalk.corpus.planted import PlantedConfig
from ropewalk.errors import UserError


def cut(of: gold.Gold) -> list[str]:
    data = of.text.encode()
    return [data[a:b].decode() for a, b in of.words]


def test_a_segmented_file_gives_its_text_words_and_sentences(tmp_path):
    (tmp_path / "x.txt").write_text("共同 创造 新 世纪 ——\n\n  我 用 Python 3.5 。\n")
    got = gold.read(tmp_path / "x.txt")
    assert got.text == "共同创造新世纪——\n我用Python3.5。"
    assert cut(got) == ["共同", "创造", "新", "世纪", "——", "我", "用", "Python", "3.5", "。"]
    assert len(got.sentences) == 2 and len(gold.read(tmp_path / "x.txt", limit=1).sentences) == 1


@pytest.mark.parametrize("text", ["", "\n \n", "没有分词\n也没有"])
def test_a_file_without_words_is_refused(tmp_path, text):
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(UserError, match="segmented"):
        gold.read(tmp_path / "x.txt")


def test_halves_are_disjoint_complete_and_follow_the_text_not_its_place():
    of = made.gold(60)
    dev, test = of.halves()
    assert sorted([*dev, *test]) == list(range(60)) and min(len(dev), len(test)) > 15
    data = of.text.encode()
    lines = [data[a:b] for a, b in of.sentences]
    turned = gold.from_lines([[line.decode()] for line in reversed(lines)])
    again = {lines[59 - i] for i in turned.halves()[0]}
    assert again == {lines[i] for i in dev}


def test_planted_words_and_pairs_lie_in_their_sentences():
    of, phrases, entities = gold.by_planted(PlantedConfig(script="unspaced"), documents=3)
    assert "".join(cut(of)) == of.text.replace("\n", "")
    assert len(phrases) and len(entities)
    inside = np.searchsorted(of.sentences[:, 0], of.words[:, 0], side="right") - 1
    assert (of.words[:, 1] <= of.sentences[inside, 1]).all()
    assert set(entities[:, 0]) <= set(of.words[:, 0]) and set(entities[:, 1]) <= set(of.words[:, 1])


def test_candidates_are_gaps_between_two_chinese_characters_of_a_sentence():
    of = gold.from_lines([["我们", "，", "去"], ["看", "ab", "12", "书店"]])
    known = gaps.characters(of)
    text = of.text.replace("\n", "")
    assert [text[i] for i in np.flatnonzero(known.candidate)] == ["们", "店"]
    assert not known.rule[text.index("b")] and not known.rule[text.index("1")]
    assert known.rule[text.index("书")] and known.rule[text.index("去")]


def test_perfect_cuts_score_one_and_f1_is_right_by_hand():
    of = made.gold(20, extra=())
    known = gaps.characters(of)
    perfect = segmentation.word_counts(known, known.gold[known.candidate])
    assert segmentation.f1(perfect.sum(0)) == 1.0
    two = gaps.characters(gold.from_lines([["我们", "去", "学校"]]))
    counts = segmentation.word_counts(two, np.array([False, True, False, False]))  # 我们 | 去学校
    assert counts.tolist() == [[1, 2, 3]]
    assert segmentation.f1(counts.sum(0)) == pytest.approx(2 * 1 / 5)
    assert segmentation.word_counts(two, segmentation.every_other(two)).tolist() == [
        [1, 3, 3]
    ]  # 我们 | 去学 | 校


def test_the_threshold_is_the_best_one_by_trying_all():
    stream = np.random.default_rng(2)
    for _ in range(50):
        scores, labels = stream.integers(0, 6, 30).astype(float), stream.random(30) < 0.5
        labels[0] = True
        got = segmentation.best_threshold(scores, labels)

        def quality(t, scores=scores, labels=labels):
            choice = scores >= t
            return 2 * (choice & labels).sum() / (choice.sum() + labels.sum())

        assert quality(got) == max(quality(t) for t in scores)


def test_gaps_refuse_a_trace_of_another_text():
    of = made.gold(5)
    with pytest.raises(UserError, match="another text"):
        gaps.gaps(made.trace(made.gold(5, seed=1), {}), of)
    english = gold.from_lines([["no", "Chinese", "here"]])
    with pytest.raises(UserError, match="no gap"):
        gaps.gaps(made.trace(english, {}), english)
