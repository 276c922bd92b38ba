// The panel that tells the numbers of the character under the pointer, and the distances between two pins.
import { attentionTable } from "./attention.js";
import { cellSignal, clamp, el, isMagnitude, number, plural, state } from "./base.js";
import { palette, tint } from "./color.js";
import { gapToken } from "./scene.js";
import { clearPins, clearSelection, pinnedHere, sameCells, shows, togglePin } from "./selection.js";
import { stage } from "./stage.js";

export const panelOf = el("aside", { class: "detail", "aria-label": "The chosen character" });
export const spoken = el("div", { class: "spoken", "aria-live": "polite" });

export function updateDetail() {
  const hit = state.hover || state.focus, shown = stage.pictures.filter((picture) => picture.entry);
  const picture = hit && (shown.find((one) => one === hit.picture) || shown.find((one) => shows(one, hit)));
  panelOf.classList.toggle("empty", !picture && !state.pins.length);
  const parts = [];
  if (state.pins.length === 2) parts.push(distances(shown));
  if (picture && hit.cell < picture.entry.cells.length) {
    parts.push(character(picture.entry, hit.cell, pinnedHere(picture.entry, hit.cell)));
    for (const one of shown.filter((other) => shows(other, hit) && !other.difference)) {
      parts.push(gapTable(one, hit, titleOf(shown, one)));
    }
    if (!picture.difference) parts.push(attentionTable(picture, hit));
    for (const one of shown.filter((other) => shows(other, hit) && other.difference)) parts.push(differenceTable(one, hit));
  }
  if (state.pins.length === 1) parts.push(el("p", { class: "hint" }, "One character is pinned. Pin another to measure between them."));
  if (!parts.length) {
    const touch = matchMedia("(hover: none)").matches, point = touch ? "Tap" : "Point at";
    parts.push(el("p", { class: "hint" }, stage.pictures[0]?.atlas ? `${point} a square for its numbers. ${touch ? "Drag" : "Click it, or drag"} over a part of the text, to open its rows below.`
      : touch ? "Tap a character for its numbers; pin two to measure between them."
        : "Point at a character for its numbers. Click to pin it; pin two to measure between them. Arrow keys move too."));
    if (stage.pictures[0]?.drag) parts.push(el("p", { class: "hint" }, "Drag a character along its row to widen or narrow the gap before it, and see what the model makes of that."));
  }
  if (picture || state.pins.length) parts.unshift(el("button", { type: "button", class: "close", "aria-label": "close", onclick: clearSelection }, "×"));
  panelOf.replaceChildren(...parts.filter(Boolean));
}

// What a trace is called where two are shown: as above its picture, for two may bear one name.
function titleOf(shown, picture) {
  return state.view === "one" || picture.zoomed ? "" : `${"AB"[shown.indexOf(picture)]} ${picture.entry.name}`;
}

function character(entry, index, pinned) {
  const cell = entry.cells[index], text = [...cell.text], bytes = entry.spans.slice(cell.start, cell.end);
  const size = bytes.length ? Math.max(...bytes.map((span) => span[1])) - Math.min(...bytes.map((span) => span[0])) : 0;
  const raw = [...new TextEncoder().encode(cell.text)].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"));
  const points = text.map((one) => `U+${one.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`);
  const short = (list) => (list.length > 8 ? `${list.slice(0, 8).join(" ")} … (${plural(list.length, "in all").replace(/s$/, "")})` : list.join(" "));
  const count = cell.end - cell.start, facts = [
    ["place", count === 1 ? `token ${cell.start}` : `tokens ${cell.start}–${cell.end - 1}`],
    ["characters", cell.text ? short(points) : "none"],
    [size === 1 ? "byte" : "bytes", cell.text ? short(raw) : "none"],
    ...[["surprisal", cellSignal(entry, cell, "surprisal"), count > 1 ? `, sum of ${count} tokens` : ""], ["entropy before", cellSignal(entry, cell, "entropy"), ""],
      ["entropy after", entry.entropyAfter[cell.end - 1] ?? NaN, ""]].filter(([, value]) => Number.isFinite(value))
      .map(([name, value, note]) => [name, `${number(value)} nats${note}`]),
  ];
  return el("section", { class: "character" },
    el("div", { class: "glyph", dir: "auto" }, cell.label),
    el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
    el("button", { type: "button", class: "pin", onclick: () => togglePin(index, entry) }, pinned ? "Unpin" : "Pin"),
    entry.expected ? guesses(entry, cell) : null);
}

// What the model expected most before this character's first token, where the page knows.
function guesses(entry, cell) {
  const likeliest = entry.expected[cell.start];
  if (!likeliest) return null;
  return el("p", { class: "guesses" }, "expected here: ", ...likeliest.slice(0, 3).map(([label, probability]) =>
    el("span", {}, el("b", {}, label), ` ${Math.round(probability * 100)} %  `)));
}

function learnedRows(picture) {
  return picture.rows.map((row, r) => [row, r]).filter(([row]) => row.members.length);
}

function gapTable(picture, hit, title) {
  const { entry, scenes } = picture, { x, left, factor, mean } = scenes.row, c = hit.cell;
  const { noun } = entry.words, what = `${noun} before it${entry.errors ? " ± its standard error" : ""}`;
  const rows = learnedRows(picture).map(([row, r]) => {
    const gap = c && Number.isFinite(scenes.row.gap[r][c]) ? (x[r][c] - left[r][c]) / factor[r] : NaN, share = gap / mean[r];
    const width = Number.isFinite(share) ? clamp(Math.abs(share) / picture.tops, 0, 1) * 100 : 0;
    const error = entry.errors ? (row.members.length === 1 && c ? entry.errors[row.members[0]][gapToken(entry, c)] : NaN) : null;
    const bar = el("i", {});
    bar.style.width = `${width}%`;
    bar.style.background = share > 1 || share < 0 ? tint(share, picture.tops) || palette.faint : palette.faint;
    return el("tr", { class: hit.row === r && hit.picture === picture ? "current" : "" },
      el("th", { scope: "row" }, row.label), el("td", { class: "bar" }, bar),
      el("td", {}, number(gap) + (atCeiling(entry, row, c) ? "*" : "")), el("td", {}, Number.isFinite(share) ? `${number(share, 3)}×` : "not measured"), error === null ? null : el("td", {}, `±${number(error, 2)}`),
      el("td", {}, number(x[r][c] / factor[r], 4)));
  });
  const ceiling = learnedRows(picture).some(([row]) => atCeiling(entry, row, c));
  return el("section", {},
    title ? el("h2", {}, title) : null,
    el("table", {}, el("caption", { title: entry.words.unit }, `${what}, in ${entry.unit}${entry.words.unit ? ` (${entry.words.unit})` : ""}`),
      el("thead", {}, el("tr", {}, ...["", "", noun, "× mean", ...(entry.errors ? ["±"] : []), isMagnitude(entry) ? "sum" : "position"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows)),
    ceiling ? el("p", { class: "hint" }, `* at the model's largest increment, ${number(entry.provenance.max_increment)}.`) : null);
}

// Whether the gap before a cell stands at the largest value the model can give.
export function atCeiling(entry, row, c) {
  const { max_increment: ceiling } = entry.provenance;
  if (!(ceiling > 1) || entry.kind !== "increment" || !c) return false;
  const token = gapToken(entry, c);
  return row.members.some((n) => entry.values[n][token] > 0.98 * ceiling);
}

function differenceTable(picture, hit) {
  const rows = learnedRows(picture).map(([row, r]) => el("tr", {}, el("th", { scope: "row" }, row.label),
    el("td", {}, number(picture.sides[0][r][hit.cell], 2)), el("td", {}, number(picture.sides[1][r][hit.cell], 2)),
    el("td", {}, number(picture.differences[r][hit.cell], 2))));
  return el("section", {}, el("table", {}, el("caption", {}, "gap before it, in means of its row"),
    el("thead", {}, el("tr", {}, ...["", "A", "B", "A − B"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...rows)));
}

function distances(shown) {
  const [a, b] = [...state.pins].sort((one, other) => one - other), sections = [];
  for (const picture of shown.filter((one) => sameCells(one.entry, state.pinned) && !one.difference)) {
    const { entry, scenes } = picture, { x, factor, mean } = scenes.row;
    if (b >= entry.cells.length) continue;
    const tokens = entry.cells[b].start - entry.cells[a].start;
    const rows = learnedRows(picture).map(([row, r]) => {
      const far = (x[r][b] - x[r][a]) / factor[r];
      return el("tr", {}, el("th", { scope: "row" }, row.label), el("td", {}, number(far, 4)), el("td", {}, `${number(far / mean[r], 3)}`));
    });
    sections.push(el("section", { class: "distance" },
      el("h2", {}, el("b", { class: state.pins[0] === a ? "pin-a" : "pin-b" }, entry.cells[a].label), " to ",
        el("b", { class: state.pins[0] === a ? "pin-b" : "pin-a" }, entry.cells[b].label), shown.length > 1 ? ` · ${titleOf(shown, picture)}` : ""),
      el("p", {}, el("strong", {}, plural(tokens, "token")), " apart in the text"),
      el("table", {}, el("caption", {}, `distance in each row, in ${entry.unit} and in mean gaps of the row`),
        el("thead", {}, el("tr", {}, ...["", "distance", "mean gaps"].map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...rows))));
  }
  return el("div", {}, ...sections, el("button", { type: "button", class: "clear", onclick: clearPins }, "Clear pins"));
}

// One sentence for a screen reader about the focused character.
export function speak(hit) {
  const { entry, scenes, rows } = hit.picture, cell = entry.cells[hit.cell], { x, left, factor } = scenes.row;
  const gap = hit.cell && rows[hit.row].members.length ? (x[hit.row][hit.cell] - left[hit.row][hit.cell]) / factor[hit.row] : NaN;
  const surprisal = cellSignal(entry, cell, "surprisal");
  spoken.textContent = `${cell.text.slice(0, 20) || "token without text"}, token ${cell.start}, row ${rows[hit.row].label}, ` +
    `${entry.words.noun} before it ${number(gap)}` + (Number.isFinite(surprisal) ? `, surprisal ${number(surprisal)} nats` : "");
}
