// What the model makes of the text: its loss, and what it expects next, before and after a gap was moved.
import { el, entries, plural, state } from "./base.js";
import { composer } from "./composer_state.js";
import { setStrip, toggle } from "./controls.js";
import { forgetGaps } from "./drag.js";

export function showResult() {
  const { base, last } = composer, moved = composer.edits.size > 0;
  if (!last) return composer.result.replaceChildren();
  const loss = (answer) => (answer.loss === null ? "–" : answer.loss.toFixed(3));
  const delta = moved && base ? last.loss - base.loss : 0, per = entries[0].spans.every(([a, b]) => b - a === 1) ? "byte" : "token";
  const parts = [el("p", { class: "loss" }, "The model's loss on this text: ", el("b", {}, loss(moved && base ? base : last)),
    ...(moved ? [" → ", el("b", {}, loss(last)), ` (${delta >= 0 ? "+" : "−"}${Math.abs(delta).toFixed(4)})`] : []), ` nats per ${per}.`)];
  if (moved) {
    parts.push(el("p", { class: "hint" }, `${plural(composer.edits.size, "gap")} set by hand (◆). `,
      composer.hold ? "Every other gap is held as it was: only attention changes." : "Later layers recompute: they read what the changed layer writes, and their gaps follow. The row's other gaps and earlier layers cannot change."),
      el("p", { class: "actions" }, el("label", {}, el("input", { type: "checkbox", checked: composer.hold, onchange: (event) => {
        composer.hold = event.target.checked;
        composer.ask();
      } }), " hold every other gap"),
      toggle("change of surprisal", "bars: nats gained or lost per character", () => state.strip === "change", () => setStrip(state.strip === "change" ? "none" : "change")),
      el("button", { type: "button", onclick: forgetGaps }, "Undo all")));
  }
  parts.push(nextTokens(base, last, moved));
  composer.result.replaceChildren(...parts);
}

// The likeliest next tokens: bars, with a mark where each was before the gaps were moved.
function nextTokens(base, last, moved) {
  const before = new Map(base ? base.following : []), rows = last.following.slice(0, 6).map(([label, share]) => {
    const bar = el("i", {}), was = el("u", {}), old = before.get(label);
    bar.style.width = `${share * 100}%`;
    was.style.left = `${(old ?? 0) * 100}%`;
    return el("tr", {}, el("th", { scope: "row" }, label), el("td", { class: "share" }, el("div", {}, bar, moved && old !== undefined ? was : null)),
      el("td", {}, `${(share * 100).toFixed(1)} %`), moved ? el("td", {}, old === undefined ? "" : `was ${(old * 100).toFixed(1)} %`) : null);
  });
  return el("table", {}, el("caption", {}, "Expected next, after the end of the text"), el("tbody", {}, ...rows));
}
