// The text box: for pages that have a `backend` to ask.
// One question at a time; what was typed meanwhile is asked next, what lies between is never asked.
import { layOutAtlas, openPart } from "./atlas.js";
import { changed, el, entries, payload, readEntry, state } from "./base.js";
import { composer } from "./composer_state.js";
import { layoutOf, setStrip } from "./controls.js";
import { baseFactors, baseTops, drag, marksGap, setGap } from "./drag.js";
import { updateFindings } from "./findings.js";
import { updateNotes } from "./legend.js";
import { comeFrom, moveTo } from "./motion.js";
import { layOut, paintAll, restand, target } from "./picture.js";
import { measureChoice, measureLater, measures, shownOf, stopMeasuring } from "./measuring.js";
import { showResult } from "./predictions.js";
import { sameCells } from "./selection.js";
import { stage } from "./stage.js";

composer.ask = async () => {
  if (composer.busy) {
    composer.again = true;
    return;
  }
  const request = composer.request();
  if (!request.text) return composer.say("The text is empty: type something.");
  composer.busy = true;
  composer.result.setAttribute("aria-busy", "true");
  composer.again = false;
  try {
    await composer.backend.ready;
    if (request.edits.length && (composer.base?.entry.name !== request.model || composer.baseText !== request.text)) {
      take(await composer.backend.ask({ ...request, edits: [] }), { ...request, edits: [] });
    }
    take(await composer.backend.ask(request), request);
    const over = [...composer.box.value].length > payload.longest;
    composer.say(over ? `Only the first ${payload.longest.toLocaleString("en")} characters are read.` : "");
  } catch (error) {
    composer.say(error.message || "No answer; is the server still running?");
  } finally {
    composer.busy = false;
    if (composer.again) composer.ask();
    else composer.result.setAttribute("aria-busy", "false");
  }
};

function take(answer, request) {
  const entry = readEntry(answer.entry);
  if (!request.edits.length) Object.assign(composer, { base: answer, baseText: request.text, baseEntry: entry });
  composer.last = answer;
  composer.shownText = request.text;
  for (const gap of composer.edits.values()) if (composer.dragging && request.text === composer.text()) setGap(entry, gap);
  composer.entry = entry;
  display(shownOf(entry));
  showResult();
  measureLater(showMeasured);
}

// The sensitivities as they come in.
function showMeasured(given) {
  composer.measured = readEntry(given);
  if (measures() && composer.measured.text === composer.shownText) display(composer.measured);
}

function display(entry) {
  const old = entries[0];
  entries[0] = entry;
  if (!old || (layoutOf() === "heat") !== Boolean(stage.pictures[0].atlas)) {
    state.brush = null;
    stage.rebuild();
  } else redraw(entry, old);
  if (state.focus && state.focus.cell >= entry.cells.length) state.focus = null;
  if (state.hover && state.hover.cell >= entry.cells.length) state.hover = null;
  state.pins = state.pins.filter((cell) => cell < entry.cells.length);
  state.pinned = entry;
  changed("draw");
  updateNotes();
  updateFindings();
}

function redraw(entry, old) {
  const [picture] = stage.pictures;
  picture.entry = entry;
  if (picture.atlas) {
    const { brush } = state, same = sameCells(entry, old);
    layOutAtlas(picture);
    if (brush) openPart(picture, same ? brush.start : -1, same ? brush.end : -1);
    return;
  }
  picture.before = composer.edits.size ? composer.baseEntry : null;
  if (composer.dragging) return restand(picture, true);
  const from = picture.now, same = sameCells(entry, old);
  layOut(picture);
  const to = target(picture);
  if (from) moveTo(picture, same ? from : comeFrom(old, from, entry, to), to, paintAll, 260);
}

function link() {
  const parameters = new URLSearchParams({ t: composer.text(), s: state.scale });
  if (payload.models.length > 1) parameters.set("m", composer.model);
  if (composer.edits.size) parameters.set("e", JSON.stringify(composer.request().edits));
  if (composer.hold) parameters.set("h", "1");
  return `${location.href.split("#")[0]}#${parameters}`;
}

function readLink() {
  const parameters = new URLSearchParams(location.hash.slice(1));
  if (!parameters.has("t")) return false;
  composer.box.value = parameters.get("t");
  if (payload.models.includes(parameters.get("m"))) composer.model = parameters.get("m");
  if (["row", "same", "integer"].includes(parameters.get("s"))) state.scale = parameters.get("s");
  composer.hold = parameters.get("h") === "1";
  try {
    for (const [layer, head, token, value] of JSON.parse(parameters.get("e") || "[]")) composer.edits.set(`${layer}/${head}/${token}`, { layer, head, token, value });
  } catch { composer.edits.clear(); }
  return true;
}

// Stored examples: their pictures need no model. Each says one thing that its own numbers show.
function guide() {
  const lesson = el("p", { class: "lesson" }), tabs = payload.examples.map((example) => el("button", { type: "button", onclick: () => open(example) }, example.title));
  const open = (example) => {
    tabs.forEach((tab, n) => tab.setAttribute("aria-pressed", String(payload.examples[n] === example)));
    lesson.textContent = example.lesson;
    if (composer.box.value === example.text && entries[0]?.text === example.text) return;
    composer.box.value = example.text;
    fitBox();
    composer.edits.clear();
    take({ entry: example.entry, loss: example.loss, following: example.following }, { model: composer.model, text: example.text, edits: [] });
  };
  lesson.textContent = composer.box.value === payload.examples[0].text ? payload.examples[0].lesson : "";
  tabs[0].setAttribute("aria-pressed", String(Boolean(lesson.textContent)));
  composer.box.addEventListener("input", () => {
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", "false"));
    lesson.textContent = "";
  });
  return el("div", { class: "guide" }, el("div", { class: "actions" }, ...tabs), lesson);
}

// The box is as high as its text, up to a limit.
function fitBox() {
  composer.box.style.height = "auto";
  composer.box.style.height = `${Math.min(composer.box.scrollHeight + 2, 180)}px`;
}

function typed() {
  stopMeasuring();
  if (state.strip === "change") setStrip("none");
  composer.edits.clear();
  composer.hold = false;
  fitBox();
  composer.ask();
}

function showOther() {
  if (composer.entry) display(shownOf(composer.entry));
  measureLater(showMeasured);
}

export function attach(backend) {
  composer.backend = backend;
  composer.box.value = payload.text;
  const linked = readLink(), starting = !linked && payload.first;
  if (starting) Object.assign(composer, { entry: entries[0], baseEntry: entries[0], baseText: payload.text, shownText: payload.text });
  composer.box.addEventListener("input", typed);
  const models = payload.models.length > 1 ? el("select", { "aria-label": "model", onchange: (event) => {
    composer.model = event.target.value;
    typed();
  } }, ...payload.models.map((name) => el("option", { value: name, selected: name === composer.model }, name))) : null;
  const copy = el("button", { type: "button", onclick: async () => {
    const done = await navigator.clipboard?.writeText(link()).then(() => true, () => false);
    copy.textContent = done ? "Link copied" : "Link is in the address bar";
    if (!done) history.replaceState(null, "", link());
    setTimeout(() => copy.textContent = "Copy link", 1800);
  } }, "Copy link");
  composer.showResult = showResult;
  if (payload.attention) {
    state.arcs = false;
    stage.askAgain = composer.ask;
  }
  stage.options = { drag, factors: baseFactors, fixedTops: baseTops, edited: marksGap };
  if (payload.problem) composer.say(payload.problem);
  return {
    composer: el("div", { class: "composer" }, payload.examples ? guide() : null, composer.box, el("div", { class: "actions" }, models, measureChoice(showOther), copy), composer.note),
    below: composer.result,
    footer: payload.mode === "site" ? el("p", { class: "colophon" }, "The model runs inside this page; what you type stays in your browser. ropewalk is a Python package that trains such models, grafts increments onto others, and measures what they learn.") : null,
    start() {
      fitBox();
      if (starting) {
        showResult();
        measureLater(showMeasured);
      }
      if (!starting) composer.ask();
      else composer.backend.ready.catch((error) => composer.say(error.message));
    },
  };
}
