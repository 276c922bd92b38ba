// The text box, the drag of a gap, and what the model expects: for pages that have a `backend` to ask.
const GAP_STEP = 0.25;
const composer = {
  model: (payload.models || [])[0], edits: new Map(), hold: false, base: payload.first, last: payload.first, busy: false, again: false,
  box: el("textarea", { rows: "2", dir: "auto", spellcheck: "false", "aria-label": "text", placeholder: "Type something …", autocapitalize: "off", autocomplete: "off" }),
  note: el("p", { class: "problem", role: "status", hidden: true }), result: el("section", { class: "result", "aria-label": "What the model expects" }),
};

composer.say = (text) => {
  composer.note.textContent = text || "";
  composer.note.hidden = !text;
};

composer.text = () => [...composer.box.value].slice(0, payload.longest).join("");

composer.request = () => ({
  model: composer.model, text: composer.text(), hold: composer.hold,
  edits: [...composer.edits.values()].map(({ layer, head, token, value }) => [layer, head, token, value]),
});

// One question at a time; what was typed meanwhile is asked next, what lies between is never asked.
composer.ask = async () => {
  if (composer.busy) {
    composer.again = true;
    return;
  }
  const request = composer.request();
  if (!request.text) return composer.say("The text is empty: type something.");
  composer.busy = true;
  composer.again = false;
  try {
    await backend.ready;
    if (request.edits.length && (composer.base?.entry.name !== request.model || composer.baseText !== request.text)) {
      take(await backend.ask({ ...request, edits: [] }), { ...request, edits: [] });
    }
    take(await backend.ask(request), request);
    const over = [...composer.box.value].length > payload.longest;
    composer.say(over ? `Only the first ${payload.longest.toLocaleString("en")} characters are read.` : "");
  } catch (error) {
    composer.say(error.message || "No answer; is the server still running?");
  } finally {
    composer.busy = false;
    if (composer.again) composer.ask();
  }
};

function take(answer, request) {
  const entry = readEntry(answer.entry), old = entries[0];
  if (!request.edits.length) Object.assign(composer, { base: answer, baseText: request.text, baseEntry: entry });
  composer.last = answer;
  composer.shownText = request.text;
  for (const gap of composer.edits.values()) if (composer.dragging && request.text === composer.text()) setGap(entry, gap);
  entries[0] = entry;
  if (!old) {
    stage.rebuild();
    refreshControls();
  } else redraw(entry, old);
  if (state.focus && state.focus.cell >= entry.cells.length) state.focus = null;
  if (state.hover && state.hover.cell >= entry.cells.length) state.hover = null;
  state.pins = state.pins.filter((cell) => cell < entry.cells.length);
  state.pinned = entry;
  changed("draw");
  updateNotes();
  showResult();
}

function redraw(entry, old) {
  const [picture] = stage.pictures;
  picture.entry = entry;
  picture.before = composer.edits.size ? composer.baseEntry : null;
  if (composer.dragging) return restand(picture);
  const from = picture.now, same = sameCells(entry, old);
  layOut(picture);
  const to = target(picture);
  if (from) moveTo(picture, same ? from : comeFrom(old, from, entry, to), to, 260);
}

// While a gap is dragged and afterwards, rows keep the scale that they had before: a wider gap pushes, nothing shrinks.
function baseFactors() {
  if (!composer.edits.size || !composer.baseEntry) return null;
  const rows = stage.pictures[0]?.rows.length ? stage.pictures[0].rows : rowsOf(composer.baseEntry);
  return Object.fromEntries(["line", "same", "integer"].map((scale) => [scale, sceneOf(composer.baseEntry, rows, scale).factor]));
}

function baseTops(picture) {
  return composer.edits.size && composer.baseEntry ? warmest(tintsOf(composer.baseEntry, picture.rows, state.scale).slice(1)) : null;
}

function setGap(entry, { layer, head, token, value }) {
  const n = entry.lines.findIndex((line) => line.layer === layer && line.head === head);
  if (n >= 0 && token < entry.tokens.length) entry.values[n][token] = value;
}

function placeGap(hit, change) {
  const { entry, rows } = stage.pictures[0], token = gapToken(entry, hit.cell);
  if (entry.kind !== "increment" || token === null) return;
  for (const n of rows[hit.row].members) {
    const { layer, head } = entry.lines[n], key = `${layer}/${head}/${token}`;
    const gap = { layer, head, token, value: clamp(change(entry.values[n][token], key), 0, 200) };
    composer.edits.set(key, gap);
    setGap(entry, gap);
  }
}

const drag = {
  begin(hit) {
    const { entry } = stage.pictures[0];
    if (composer.shownText !== composer.text()) return;
    composer.dragging = { hit, entry, values: entry.values.map((row) => row.slice()) };
  },
  move(pixels) {
    const held = composer.dragging, [picture] = stage.pictures;
    if (!held || state.scale === "integer") return;
    const { hit } = held, token = gapToken(held.entry, hit.cell), scene = picture.scenes[state.scale];
    const units = pixels / picture.unit[state.scale] / scene.factor[hit.row];
    const lines = picture.rows[hit.row].members;
    let n = 0;
    placeGap(hit, () => held.values[lines[n++]][token] + units);
    restand(picture);
    composer.ask();
  },
  end() {
    composer.dragging = null;
    showResult();
    composer.ask();
  },
  nudge(hit, way) {
    if (!hit.cell || !hit.row || composer.shownText !== composer.text()) return;
    placeGap(hit, (value) => value + (way * GAP_STEP) / stage.pictures[0].scenes.line.factor[hit.row]);
    restand(stage.pictures[0]);
    composer.ask();
  },
};

function forgetGaps() {
  composer.edits.clear();
  composer.hold = false;
  if (state.strip === "change") setStrip("none");
  composer.ask();
}

function showResult() {
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
  parts.push(nextSymbols(base, last, moved));
  composer.result.replaceChildren(...parts);
}

// The likeliest next symbols: bars, with a line where each stood before the gaps were moved.
function nextSymbols(base, last, moved) {
  const before = new Map(base ? base.following : []), rows = last.following.slice(0, 6).map(([symbol, share]) => {
    const bar = el("i", {}), was = el("u", {}), old = before.get(symbol);
    bar.style.width = `${share * 100}%`;
    was.style.left = `${(old ?? 0) * 100}%`;
    return el("tr", {}, el("th", { scope: "row" }, symbolName(symbol)), el("td", { class: "share" }, el("div", {}, bar, moved && old !== undefined ? was : null)),
      el("td", {}, `${(share * 100).toFixed(1)} %`), moved ? el("td", {}, old === undefined ? "" : `was ${(old * 100).toFixed(1)} %`) : null);
  });
  return el("table", {}, el("caption", {}, "Expected next, after the end of the text"), el("tbody", {}, ...rows));
}

function link() {
  const told = new URLSearchParams({ t: composer.text(), s: state.scale });
  if (payload.models.length > 1) told.set("m", composer.model);
  if (composer.edits.size) told.set("e", JSON.stringify(composer.request().edits));
  if (composer.hold) told.set("h", "1");
  return `${location.href.split("#")[0]}#${told}`;
}

function readLink() {
  const told = new URLSearchParams(location.hash.slice(1));
  if (!told.has("t")) return false;
  composer.box.value = told.get("t");
  if (payload.models.includes(told.get("m"))) composer.model = told.get("m");
  if (["line", "same", "integer"].includes(told.get("s"))) state.scale = told.get("s");
  composer.hold = told.get("h") === "1";
  try {
    for (const [layer, head, token, value] of JSON.parse(told.get("e") || "[]")) composer.edits.set(`${layer}/${head}/${token}`, { layer, head, token, value });
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

function typed() {
  composer.edits.clear();
  composer.hold = false;
  composer.box.style.height = "auto";
  composer.box.style.height = `${Math.min(composer.box.scrollHeight + 2, 180)}px`;
  composer.ask();
}

function attach() {
  composer.box.value = payload.text;
  const linked = readLink(), starting = !linked && payload.first;
  if (starting) Object.assign(composer, { baseEntry: entries[0], baseText: payload.text, shownText: payload.text });
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
  stage.options = { drag, factors: baseFactors, fixedTops: baseTops, edited: (r, cell) => marksGap(r, cell) };
  if (payload.problem) composer.say(payload.problem);
  return {
    composer: el("div", { class: "composer" }, payload.examples ? guide() : null, composer.box, el("div", { class: "actions" }, models, copy), composer.note),
    below: composer.result,
    footer: payload.mode === "site" ? el("p", { class: "colophon" }, "The model runs inside this page; what you type stays in your browser. ropewalk is a Python package that trains such models, grafts increments onto others, and measures what they learn.") : null,
    start() {
      if (starting) showResult();
      if (!starting) composer.ask();
      else backend.ready.catch((error) => composer.say(error.message));
    },
  };
}

function marksGap(r, cell) {
  const [picture] = stage.pictures, token = composer.edits.size ? gapToken(picture.entry, cell) : null;
  return token !== null && picture.rows[r].members.some((n) => composer.edits.has(`${picture.entry.lines[n].layer}/${picture.entry.lines[n].head}/${token}`));
}
