// The legend and the plain words under a picture: what is seen, in which unit, and what was left out.
import { atlasLegend } from "./atlas.js";
import { SCALES, displayRows, el, isMagnitude, number, plural, state } from "./base.js";
import { palette, warm } from "./color.js";
import { atCeiling } from "./detail.js";
import { crowded } from "./picture.js";
import { LONGEST } from "./scene.js";
import { stage } from "./stage.js";

export const legend = el("div", { class: "legend" });
export const notes = el("div", { class: "notes" });

export function updateLegend() {
  const [picture] = stage.pictures;
  if (!picture) return;
  if (picture.atlas) return legend.replaceChildren(...atlasLegend(picture), ...more(picture));
  const { entry } = picture, stops = [0, 0.25, 0.5, 0.75, 1], strip = el("i", { class: "ramp" });
  const what = entry.words.noun;
  const unit = state.scale === "same" ? "the mean of all rows" : "the row's mean";
  const marks = picture.entry.overlays.filter((one) => state.overlays.has(one.name)).map((one) => {
    const key = el("i", { class: "mark" });
    key.style.background = palette[`mark-${entry.overlays.indexOf(one) % 4}`];
    return el("span", { title: one.note }, key, one.name);
  });
  if (picture.difference) {
    const key = (color) => {
      const box = el("i", { class: "mark backward" });
      box.style.background = color;
      return box;
    };
    legend.replaceChildren(el("span", {}, key(warm(0.9)), "up: wider in A"), el("span", {}, key(palette.cool), "down: wider in B"),
      el("span", { class: "unit" }, `difference of gaps, each in units of ${unit}; full height ${number(picture.highest, 2)}`), ...marks);
  } else {
    const least = Math.min(...picture.scenes.row.gap.slice(1).map((row) => Math.min(...row.filter(Number.isFinite))));
    const wider = picture.now.gap.slice(1).some((row) => row.some((gap) => gap > picture.tops * 1.01));
    strip.style.background = `linear-gradient(to right, ${stops.map(warm).join()})`;
    legend.replaceChildren(el("span", {}, "1×"), strip, el("span", {}, `${number(picture.tops, 3)}×${wider ? " or more" : ""}`),
      el("span", { class: "unit" }, `${what} before a character; 1× is ${unit}`), ...(state.exaggerate > 1 && state.scale !== "integer" ? [el("strong", { class: "badge" }, `deviations ×${state.exaggerate}, not to scale`)] : []),
      ...(least < 0 ? [el("span", {}, el("i", { class: "mark backward" }), "a step backwards")] : []), ...(picture.now.cut ? [el("span", {}, `// above ${LONGEST}× the mean: cut short`)] : []), ...marks, ...more(picture));
  }
}

// What symbols, the top row and the numbers under the names of rows stand for.
function more({ entry, atlas, rows }) {
  const parts = [entry.symbols];
  if (eachCharacterIsAToken(entry)) parts.push("each character is a token");
  if (atlas) parts.push(plural(rows.length - 1, "row"));
  else parts.push("top row: even spacing, as in an ordinary model", `under a row's name: its mean ${entry.words.noun}`);
  if (entry.attention && state.arcs) parts.push("point at a character: arcs to what it attends to");
  return [el("span", { class: "more" }, parts.filter(Boolean).join(" · "))]; // a line of its own, so that nothing moves when the first changes
}

function eachCharacterIsAToken({ cells, tokens }) {
  return cells.length === tokens.length && cells.every(({ text }) => [...text].length === 1);
}

export function updateNotes() {
  const sentences = [];
  const unit = stage.pictures[0]?.entry.words.unit;
  if (unit) sentences.push(`Numbers are in ${stage.pictures[0].entry.unit}: ${unit}.`);
  if (stage.pictures.some((picture) => !picture.atlas)) sentences.push(SCALES.find(([name]) => name === state.scale)[2].replace(/^./, (letter) => letter.toUpperCase()) + ".");
  if (stage.pictures.some(({ atlas, entry }) => !atlas && entry.values.some((row) => row.some(Number.isNaN)))) sentences.push("Gray: gaps that were not measured.");
  for (const picture of stage.pictures.filter((one) => !one.zoomed)) {
    const { entry } = picture, name = state.view !== "one" ? `${entry.name}: ` : "";
    const hidden = picture.difference || picture.atlas ? 0 : crowded(picture);
    if (hidden) sentences.push(`${name}${plural(hidden, "character")} stand too close to the one before to be printed; their ticks remain.`);
    if (entry.context.windows > 1) {
      sentences.push(`${name}the text is longer than the model's context of ${entry.context.window} tokens: it was read in ${entry.context.windows} overlapping windows.`);
    }
    if (entry.attention?.window) sentences.push(`${name}attention was read in windows of ${plural(entry.attention.window, "token")} that overlap by half.`);
    const rows = displayRows(entry).filter((row) => row.members.length);
    const capped = rows.map((row) => [row.label, entry.cells.filter((_, c) => atCeiling(entry, row, c)).length]).filter(([, count]) => count);
    if (capped.length) {
      sentences.push(`${name}gaps at the model's largest increment, ${number(entry.provenance.max_increment)}: ${capped.map(([label, count]) => `${count} in ${label}`).join(", ")}.`);
    }
    if (rows.some((row) => row.heads > 1 && row.members.length > 1)) sentences.push(`${name}rows with ▸ are means over the layer's heads; press the row's name to unfold it.`);
    if (isMagnitude(entry) && !picture.atlas) sentences.push(`${name}a ${entry.words.noun} is drawn as a distance, but it is none.`);
    if (entry.leftward) sentences.push(`${name}the text runs from right to left, and so do the rows.`);
    if (entry.text.length > 2000) sentences.push(`${name}${plural(entry.text.length, "character")}: the rows off the screen are drawn when you scroll to them.`);
  }
  notes.replaceChildren(...sentences.map((text) => el("p", {}, state.view === "one" ? text.replace(/^./, (letter) => letter.toUpperCase()) : text)), provenance());
}

function provenance() {
  const items = stage.pictures.filter((one) => !one.zoomed).map(({ entry }) => {
    const { name, hash, parametrization, per } = entry.provenance, gap = entry.gap ? `gap ${entry.gap} the token` : "no gap convention";
    const facts = [["model", [name, hash && hash.slice(0, 12)].filter(Boolean).join(" · ")], ["increments", [parametrization, per && `per ${per}`].filter(Boolean).join(", ")],
      ["numbers", `${entry.kind}, ${entry.unit}, ${gap}`], ["text", `${plural(entry.cells.length, "character")}, ${plural(entry.tokens.length, "token")}`],
      ["start", entry.context.start === "document" ? "an end-of-document symbol before the text" : entry.context.start], ["trace", entry.hash.slice(0, 12)]];
    return el("dl", {}, ...facts.filter(([, value]) => value).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, String(value))]));
  });
  return el("details", {}, el("summary", {}, "What this is, exactly"), ...items);
}
