// Assembles the page: which pictures are shown, and what surrounds them.
import { layOutAtlas, makeAtlas, openPart, paintAtlas, squareOf } from "./atlas.js";
import { changed, displayRows, el, entries, on, payload, readEntry, sliceEntry, state, valuesOf, variation } from "./base.js";
import { readTheme, setTheme, warmest } from "./color.js";
import { bar, layoutOf, refreshControls, synced } from "./controls.js";
import { curveSection } from "./curve.js";
import { panelOf, spoken, updateDetail } from "./detail.js";
import { placer, rowMiddle } from "./draw.js";
import { findingsNode, updateFindings } from "./findings.js";
import { watchKeys } from "./keyboard.js";
import { legend, notes, updateLegend, updateNotes } from "./legend.js";
import { readState, watchState } from "./link.js";
import { layOut, makePicture, paintAll } from "./picture.js";
import { watchPointer } from "./pointer.js";
import { svgOf } from "./save.js";
import { sceneOf } from "./scene.js";
import { sameCells } from "./selection.js";
import { stage } from "./stage.js";

stage.rebuild = () => {
  if (!entries.length) return;
  for (const picture of stage.pictures) {
    picture.observer.disconnect();
    cancelAnimationFrame(picture.frame);
  }
  const shown = [entries[state.a], ...(state.view === "one" ? [] : [entries[state.b]])];
  const { comparison } = stage, reason = state.view === "difference" ? comparison.incomparable(...shown) : null, apart = state.view === "difference" && !reason;
  const heat = layoutOf() === "heat" && !apart && payload.mode !== "film";
  stage.message.textContent = reason || "";
  stage.message.hidden = !reason;
  stage.node.classList.toggle("two", shown.length > 1 && !apart && !heat);
  const columns = (apart ? shown.slice(0, 1) : shown).map((entry, n) => {
    const holder = holderFor(entry, heat ? "heat map" : "rows of characters");
    const title = shown.length > 1 ? el("h2", {}, apart ? `A ${shown[0].name} minus B ${shown[1].name}` : `${"AB"[n]} ${entry.name}`) : null;
    return [entry, holder, el("section", {}, title, holder)];
  });
  stage.node.replaceChildren(...columns.map(([, , section]) => section));
  state.pinned = sameCells(shown[0], state.pinned || shown[0]) ? shown[0] : state.pinned;
  stage.pictures = [];
  columns.forEach(([entry, holder, section]) => {
    if (heat) {
      const picture = makeAtlas(entry, holder, { opened: (brush) => openRows(picture, section, brush), fixedLimits: shown.length > 1 ? comparison.commonLimits(shown) : null });
      stage.pictures.push(picture);
    } else {
      const picture = apart ? comparison.differencePicture(shown[0], shown[1], holder) : makePicture(entry, holder, { ...(shown.length > 1 ? comparison.together(shown, entry) : {}), ...stage.options });
      stage.pictures.push(picture);
      watchPointer(picture);
    }
    watchKeys(holder);
  });
  refreshControls();
  changed("draw");
  updateNotes();
  updateFindings();
};

function holderFor(entry, what) {
  return el("div", { class: "picture", tabIndex: 0, role: "application", "aria-roledescription": what,
    "aria-label": `${what}: ${entry.name}. Arrow keys move, Enter pins, H unfolds heads, 1 2 3 choose the scale. ${entry.findings.map(({ text }) => text).join(" ")}` });
}

// The rows of a brushed part of the text, below its heat map: the ones that vary most, on the scale of the whole text.
function openRows(atlas, section, brush) {
  const old = stage.pictures.find((picture) => picture.zoomed === atlas);
  old?.observer.disconnect();
  old?.holder.parentElement.remove();
  if (!brush) {
    stage.pictures = stage.pictures.filter((one) => one !== old);
    return refreshControls();
  }
  const { entry, start, end } = brush;
  const part = sliceEntry(entry, start, Math.min(end, start + 400)), holder = holderFor(part, "rows of characters");
  const learned = displayRows(entry).slice(1), most = new Set([...learned].sort((a, b) => variation(valuesOf(entry, b)) - variation(valuesOf(entry, a))).slice(0, 8));
  const rows = [displayRows(entry)[0], ...learned.filter((row) => most.has(row))], whole = sceneOf(entry, rows, "row");
  section.append(el("div", { class: "part" }, el("h3", {}, `Tokens ${entry.cells[start].start}–${entry.cells[Math.min(end, start + 400) - 1].end - 1}${learned.length > 8 ? ": the 8 rows that vary most" : ""}`), holder));
  const factors = () => ({ row: whole.factor, same: sceneOf(entry, rows, "same").factor, integer: whole.mean.map(() => 1) });
  const picture = makePicture(part, holder, { zoomed: atlas, makeRows: () => rows, factors, fixedTops: () => warmest(whole.gap.slice(1)) });
  stage.pictures = [...stage.pictures.filter((one) => one !== old), picture];
  watchPointer(picture);
  watchKeys(holder);
  refreshControls();
  updateNotes();
  changed("draw");
}

on("draw", () => {
  stage.pictures.forEach((picture) => (picture.atlas ? paintAtlas(picture) : picture.moving || paintAll(picture)));
  updateLegend();
  updateDetail();
});
on("layout", () => {
  stage.pictures.forEach((picture) => (picture.atlas ? layOutAtlas(picture) : layOut(picture, true)));
  updateNotes();
  changed("draw");
});

let measured = 0;
new ResizeObserver(() => {
  const width = stage.node.clientWidth;
  if (Math.abs(width - measured) < 2) return;
  measured = width;
  if (stage.pictures.length) changed("layout");
}).observe(stage.node);

function header() {
  const words = () => entries[state.a]?.words, name = () => (entries.length === 1 ? ` · ${entries[0].name}` : "");
  const heading = () => words()?.title || "How far apart does a model think its tokens are?", title = el("h1", {}, heading()), by = el("span", {}, name());
  const lead = el("p", { class: "lead" }), sentence = () => {
    if (payload.mode === "film") return "A sentence leaves even spacing while the model is trained.";
    if (state.view === "difference") return "Characters stand at even spacing. Between them, a bar goes up where A's gap is wider and down where B's is.";
    return (layoutOf() === "heat" ? words()?.squares : words()?.lead) || "";
  };
  synced(lead, () => lead.textContent = sentence());
  lead.textContent = sentence();
  return el("header", {}, synced(title, () => title.textContent = heading()), lead, el("p", { class: "by" }, el("b", {}, "ropewalk"), synced(by, () => by.textContent = name())));
}

// The text itself, for the browser's search, for copying and for screen readers.
function plainText() {
  const node = el("pre", { tabIndex: 0, dir: "auto" }), fill = () => node.textContent = [...new Set(entries.map(({ text }) => text))].join("\n\n");
  fill();
  return el("details", { class: "fulltext", ontoggle: fill }, el("summary", {}, "The text"), node);
}

// Every panel is painted before printing, in the light theme, whether it is on the screen or not.
let themeBefore = null;
addEventListener("beforeprint", () => {
  themeBefore = state.theme;
  setTheme("light");
  stage.pictures.forEach((picture) => picture.panels.forEach((panel) => panel.seen = true));
  changed("draw");
});
addEventListener("afterprint", () => setTheme(themeBefore || "auto"));

// Puts the page together. `extra` holds what a live page adds: composer, below, footer, and `start` to run at the end.
export function build(extra = {}) {
  document.documentElement.classList.add(`mode-${payload.mode}`, ...(parent === window ? [] : ["framed"]));
  stage.comparison = extra.comparison || null;
  if (stage.comparison) state.view = payload.view || "side";
  readTheme();
  readState();
  setTheme(state.theme);
  refreshControls();
  watchState();
  if (payload.mode === "page") entries.forEach((entry) => entry.overlays.forEach((one) => state.overlays.add(one.name)));
  document.getElementById("app").replaceChildren(...[header(), extra.composer, stage.comparison?.bar(), extra.player, bar, legend, extra.player || extra.composer ? null : findingsNode, stage.message,
    el("div", { class: "desk" }, el("main", {}, stage.node, extra.below, extra.composer ? findingsNode : null), panelOf), // where one types, the picture comes first
    notes, entries.length ? curveSection() : null, plainText(), extra.footer, spoken].filter(Boolean));
  stage.rebuild();
  extra.start?.();
  // For tests and scripts: the state and the numbers behind the picture.
  const open = (start, end) => openPart(stage.pictures[0], start, end), take = (given) => {
    entries[0] = readEntry(given);
    stage.rebuild();
  };
  Object.assign(window, { ropewalk: { state, entries, stage, sceneOf, displayRows, placeOf, openPart: open, take, svgOf: () => svgOf(stage.pictures[0]) } });
}

// The position of a character in the window, in pixels.
function placeOf(picture, cell, row) {
  const panel = picture.panels.find(({ start, end }) => cell >= start && cell < end);
  panel.canvas.scrollIntoView({ block: "nearest" });
  const box = panel.canvas.getBoundingClientRect();
  if (picture.atlas) return squareOf(picture, panel, cell, row).map((at, n) => at + [box.left, box.top][n]);
  return [box.left + placer(picture, panel)(picture.now.x[row][cell], row), box.top + rowMiddle(picture, row)];
}
