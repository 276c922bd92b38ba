// Text to bytes, cells and labels in the browser: the same as tokens/, views/labels.py and views/joining.py.
const graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });
const INNER = /[\u200c\u200d\p{Variation_Selector}\u{e0020}-\u{e007f}]/gu;
const SYMBOLS = { "\n": "⏎", "\t": "⇥", "\x7f": "␡", "\u2028": "⏎", "\u2029": "⏎" };
const TO_NEXT = /(?![آأؤإاةدذرزوٱڈڑژۃۇۈۋۆۅ])[\p{L}ـ]\p{M}*$/u;

function symbolOf(character) {
  if (SYMBOLS[character]) return SYMBOLS[character];
  if (/\p{Cc}/u.test(character)) return character < " " ? String.fromCodePoint(0x2400 + character.codePointAt(0)) : "�";
  if (/\p{Zs}/u.test(character)) return "␣";
  if (/[\p{Cn}\p{Cs}]/u.test(character)) return "�";
  if (/\p{Default_Ignorable_Code_Point}/u.test(character) && !character.match(INNER)) return "";
  return character;
}

function visible(text) {
  if (!text) return "◆";
  const shown = [...text.replace(/\r\n/g, "\n")].map(symbolOf).join("");
  if (!shown.replace(INNER, "")) return "�";
  return /^\p{M}/u.test(shown) ? `◌${shown}` : shown;
}

function leftwardText(text) {
  const count = (pattern) => (text.match(pattern) || []).length;
  const rtl = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/gu;
  const right = (text.match(rtl) || []).filter((one) => /\p{L}/u.test(one)).length;
  return right > count(/\p{L}/gu) - right;
}

function joined(labels) {
  const out = [...labels];
  for (let n = 0; n + 1 < labels.length; n++) {
    const arabic = (label) => /^[\p{Script=Arabic}\p{Script=Syriac}ـ]/u.test(label) && !/^ء/u.test(label);
    if (arabic(labels[n]) && arabic(labels[n + 1]) && TO_NEXT.test(labels[n]) && /^[\p{L}ـ]/u.test(labels[n + 1])) {
      out[n] += "\u200d";
      out[n + 1] = `\u200d${out[n + 1]}`;
    }
  }
  return out;
}

// Bytes, and the cells [first token, end token, text, label] of a text that a byte model reads.
export function writingOf(text) {
  const bytes = new TextEncoder().encode(text), cells = [];
  let place = 0;
  for (const { segment } of graphemes.segment(text)) {
    const end = place + new TextEncoder().encode(segment).length, label = [...visible(segment)];
    cells.push([place, end, segment, label.length > 12 ? `${label.slice(0, 12).join("")}…` : label.join("")]);
    place = end;
  }
  const leftward = leftwardText(text), labels = leftward ? joined(cells.map((cell) => cell[3])) : cells.map((cell) => cell[3]);
  return { bytes, leftward, cells: cells.map((cell, n) => [cell[0], cell[1], cell[2], labels[n]]) };
}
