// What stands out, in sentences that were computed with the trace; pressing one shows its place.
import { openPart } from "./atlas.js";
import { el } from "./base.js";
import { setFocus } from "./selection.js";
import { stage } from "./stage.js";

export const findingsNode = el("section", { class: "findings", "aria-label": "What stands out" });

export function updateFindings() {
  const shown = stage.pictures.filter((picture) => !picture.zoomed && !picture.difference);
  const lists = shown.map((picture, n) => el("div", {}, el("h2", {}, shown.length > 1 ? `What stands out in ${"AB"[n]} ${picture.entry.name}` : "What stands out"),
    el("ul", {}, ...picture.entry.findings.map((finding) => {
      const text = isolated(finding.text);
      return el("li", {}, ...(finding.cell === null ? text : [el("button", { type: "button", class: "finding", onclick: () => showPlace(picture, finding) }, ...text)]));
    }))));
  findingsNode.hidden = !shown.some(({ entry }) => entry.findings.length);
  findingsNode.classList.toggle("two", shown.length > 1);
  findingsNode.replaceChildren(...lists);
}

// Quoted words by themselves, so that a word written from right to left moves no number.
const isolated = (text) => text.split(/(“[^”]*”)/).map((part, n) => (n % 2 ? el("bdi", {}, part) : part));

function showPlace(picture, { row, cell }) {
  const r = Math.max(1, picture.rows.findIndex(({ label }) => label === row));
  setFocus({ cell, row: r, picture, near: true });
  if (picture.atlas) openPart(picture, cell - 12, cell + 24);
  picture.panels.find(({ start, end }) => cell >= start && cell < end)?.canvas.scrollIntoView({ block: "center" });
}
