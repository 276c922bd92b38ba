"""The sentences of the study of the probe, and the kind of every gap between their characters.

A word begins, goes on or is punctuation in the same way in every group: in English and code by letters and digits, in
Chinese by a treebank that is read from a file (its sentences are not stored). Names of several words are marked by underscores.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

INSIDE, START, PUNCTUATION, IN_NAME, OTHER = (
    "inside a word", "start of a word", "punctuation", "inside a name of several words", "other",
)  # fmt: skip
"""OTHER: white space, and tokens that begin inside a character."""
ENGLISH, NAMES, CODE = "English", "English names", "code"
CHINESE, CHARACTERS = "Chinese", "Chinese, one token for each character"
GROUPS = (ENGLISH, NAMES, CODE, CHINESE, CHARACTERS)
CHINESE_SENTENCES = 24
SENTENCES = {
    ENGLISH: (
        "The lexicographer catalogued every archaic spelling before breakfast.",
        "Her grandmother emigrated from Thessaloniki to Melbourne, and never returned.",
        "A thunderstorm flooded the cobblestone streets; the market closed early.",
        "The archaeologists unearthed a Mesopotamian tablet near the riverbank.",
        "Photosynthesis converts sunlight, water and carbon dioxide into sugar.",
        "Tchaikovsky conducted the inaugural concert at Carnegie Hall in 1891.",
        "The veterinarian bandaged the hedgehog, then phoned its rescuer.",
        "Mountaineers acclimatize slowly, because altitude sickness is dangerous.",
        "Our neighbor's greenhouse smelled of basil, rosemary and chrysanthemums.",
        "The ferryman waited patiently while the pilgrims unloaded their baskets.",
        "Wittgenstein abandoned philosophy, taught schoolchildren and built a house.",
        "The bioluminescent plankton glimmered around the anchored trawler.",
        "Kyrgyzstan borders Kazakhstan, Uzbekistan, Tajikistan and China.",
        "An ophthalmologist examined the watchmaker's failing eyesight.",
        "The manuscript, water-stained and brittle, crumbled at her touch.",
        "Fishermen repaired their nets by lamplight until the storm subsided.",
        "The orchestra's bassoonist arrived late, breathless and apologetic.",
        "Cartographers once decorated empty oceans with imaginary monsters.",
        "Antibiotics are useless against viruses, yet patients demand them.",
        "The lighthouse keeper's logbook mentions seventeen shipwrecks.",
        "Rachmaninoff practiced scales for hours, even as a celebrated virtuoso.",
        "The blacksmith hammered the glowing horseshoe on a scarred anvil.",
        "Seismologists recorded aftershocks; the villagers slept outdoors.",
        "Nasturtiums climbed the dilapidated fence behind the apothecary.",
    ),
    NAMES: (
        "She flew from New_York_City to Los_Angeles on a cold Monday.",
        "The United_Nations_Security_Council met to discuss the new border.",
        "He studied the poems of Emily_Dickinson at Oxford_University for years.",
        "The museum bought two paintings by Vincent_van_Gogh from a dealer.",
        "Tourists photograph the Golden_Gate_Bridge before visiting San_Francisco_Bay.",
        "Her uncle repaired buses in Buenos_Aires and later in Rio_de_Janeiro.",
        "Reporters asked Martin_Luther_King_Jr about the march to Washington.",
        "The Great_Barrier_Reef lies near the coast of Queensland.",
        "A telescope on Mauna_Kea watched the Milky_Way all summer.",
        "The engineers of General_Electric signed a contract with Rolls_Royce yesterday.",
        "They crossed the Rocky_Mountains and reached Salt_Lake_City by train.",
        "My sister reads Virginia_Woolf and listens to Johann_Sebastian_Bach at night.",
    ),
    CODE: (
        "def read_lines(path): return open(path).read().splitlines()",
        "for index, value in enumerate(values): total += index * value",
        "const response = await fetch(baseUrl + '/users/' + userId);",
        "if (buffer.length > maxLength) throw new RangeError('too long');",
        "result = sorted(counts.items(), key=lambda pair: -pair[1])[:10]",
        "public static int countVowels(String sentence) { return 0; }",
        "SELECT customer_name, SUM(amount) FROM invoices GROUP BY customer_name;",
        "self.hidden_size = config.hidden_size // config.num_attention_heads",
        "while (left < right) { swap(array, left++, right--); }",
        "import numpy as np; matrix = np.zeros((height, width))",
        "try: process(request) except TimeoutError as error: retry(request)",
        "let mut counter = HashMap::new(); counter.insert(word, 1);",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """A text and the kind of the gap before each of its characters."""

    group: str
    number: int
    text: str
    kinds: tuple[str, ...]

    @property
    def stored(self) -> str | None:
        """The text, where it is ours to store."""
        return self.text if self.group in SENTENCES else None


def all_sentences(gold: Path | None) -> Iterator[Sentence]:
    """One of each group in turn, so that a study that is cut off has some of each."""
    groups = {group: [_own(group, n) for n in range(len(texts))] for group, texts in SENTENCES.items()}
    if gold is not None:
        lines = [line.split() for line in gold.read_text(encoding="utf-8").split("\n")]
        chosen = [line for line in lines if re.fullmatch("[一-鿿，。、；：？！]{14,22}", "".join(line))]
        for group in (CHINESE, CHARACTERS):
            groups[group] = [_segmented(group, n, line) for n, line in enumerate(chosen[:CHINESE_SENTENCES])]
    for number in range(max(map(len, groups.values()))):
        for sentences in groups.values():
            yield from sentences[number : number + 1]


def _own(group: str, number: int) -> Sentence:
    marked = SENTENCES[group][number]
    text = marked.replace("_", " ") if group == NAMES else marked
    words = [match.span() for match in re.finditer(r"\w+(?:'\w+)*", text)]
    kinds = _kinds(text, words)
    if group == NAMES:
        kinds = [IN_NAME if at and marked[at - 1] == "_" else kind for at, kind in enumerate(kinds)]
    return Sentence(group, number, text, tuple(kinds))


def _segmented(group: str, number: int, words: list[str]) -> Sentence:
    ends = np.cumsum([len(word) for word in words]).tolist()
    spans = [(end - len(word), end) for word, end in zip(words, ends, strict=True) if word.isalnum()]
    text = "".join(words)
    return Sentence(group, number, text, tuple(_kinds(text, spans)))


def _kinds(text: str, words: list[tuple[int, int]]) -> list[str]:
    kinds = [OTHER if letter.isspace() else PUNCTUATION for letter in text]
    for start, end in words:
        kinds[start:end] = [START, *[INSIDE] * (end - start - 1)]
    return kinds


def token_kinds(sentence: Sentence, spans: np.ndarray) -> list[str]:
    """The kind of the gap before each token (byte spans): that of the first character that is not white space."""
    ends = np.cumsum([len(letter.encode()) for letter in sentence.text])
    at = {int(end): n for n, end in enumerate(ends, 1)} | {0: 0}
    found = []
    for start, end in spans.tolist():
        place, last = at.get(start), at.get(end, 0)
        while place is not None and place + 1 < last and sentence.text[place].isspace():
            place += 1
        found.append(OTHER if place is None else sentence.kinds[place])
    return found
