// The page of many texts: the widest gaps of a row in context, gaps by the kind of position, a search, and controls.
import { el, number, payload, plural } from "./base.js";
import { keepTheme, mix, palette, readTheme, setTheme } from "./color.js";

const RANGE = 12, AROUND = 28, PAGE = 50, BINS = 40, WIDEST = Math.log(8);
const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const unpack = (text) => Float32Array.from(new Uint16Array(bytes(text).buffer), (code) => (code ? Math.exp(((code - 1) / 65534) * 2 * RANGE - RANGE) : NaN));
const values = unpack(payload.values), sorts = bytes(payload.sortOf), count = sorts.length;
const controls = payload.controls.map((one) => ({ ...one, values: unpack(one.values) }));
const cells = payload.texts.flat(), textOf = new Uint32Array(count), starts = [];
payload.texts.forEach((text, n) => {
  const start = starts.length ? starts[n - 1] + payload.texts[n - 1].length : 0;
  starts.push(start);
  textOf.fill(n, start, start + text.length);
});
const state = { row: 0, sort: "", order: "widest", query: "", shown: PAGE };
const ratio = (list, gap) => list[state.row * count + gap];

// Text up to a limit of cells before and after a gap, within its own text.
function around(gap) {
  const start = starts[textOf[gap]], end = start + payload.texts[textOf[gap]].length;
  const plain = (from, to) => cells.slice(from, to).join("").replace(/␣/g, " ");
  return [plain(Math.max(start, gap - AROUND), gap), plain(gap, gap + 1), plain(gap + 1, Math.min(end, gap + 1 + AROUND))];
}

// The gaps that are asked for, the widest or narrowest first.
function chosen() {
  const inside = state.query ? matches(state.query).gaps : null, wanted = payload.sorts.indexOf(state.sort), found = [];
  const consider = (gap) => {
    if (!Number.isNaN(ratio(values, gap)) && (!state.sort || sorts[gap] === wanted)) found.push(gap);
  };
  if (inside) inside.forEach(consider);
  else for (let gap = 0; gap < count; gap++) consider(gap);
  const sign = state.order === "widest" ? -1 : 1;
  return found.sort((a, b) => sign * (ratio(values, a) - ratio(values, b)));
}

let searched = { query: null };
// Where a text has the words that are searched for: all gaps inside, and per place of the match its gaps.
function matches(query) {
  if (searched.query === query) return searched;
  const gaps = new Set(), profile = [], words = [...query.replace(/ /g, "␣")], first = words.join("");
  let times = 0;
  payload.texts.forEach((text, n) => {
    const places = [], whole = text.map((cell, c) => (places.push(...Array(cell.length).fill(c)), cell)).join("");
    for (let at = whole.indexOf(first); at >= 0; at = whole.indexOf(first, at + 1)) {
      times++;
      const from = places[at], to = places[at + first.length - 1];
      for (let c = from; c <= to; c++) {
        gaps.add(starts[n] + c);
        (profile[c - from] ||= { label: text[c], gaps: [] }).gaps.push(starts[n] + c);
      }
    }
  });
  return searched = { query, gaps: [...gaps], profile, times };
}

const mean = (list, gaps) => {
  const known = gaps.map((gap) => ratio(list, gap)).filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, one) => sum + one, 0) / known.length : NaN;
};
const times = (value) => (Number.isNaN(value) ? "–" : `${number(value, 3)}×`);
const table = (caption, head, rows) => el("div", { class: "wide", tabIndex: 0, role: "region", "aria-label": caption }, el("table", {}, el("caption", {}, caption),
  el("thead", {}, el("tr", {}, ...head.map((name) => el("th", { scope: "col" }, name)))), el("tbody", {}, ...rows)));

function heat(value) {
  const share = Number.isNaN(value) ? 0.5 : Math.min(1, Math.max(0, 0.5 + Math.log(value) / (2 * Math.log(4))));
  return mix(palette.heat, share);
}

function list() {
  const found = chosen(), rows = found.slice(0, state.shown).map((gap) => {
    const [before, cell, after] = around(gap), mark = el("i", { class: "gap" });
    mark.style.background = heat(ratio(values, gap));
    mark.style.width = `${Math.min(40, 3 + 6 * ratio(values, gap))}px`;
    return el("tr", {}, el("td", { class: "context" }, el("bdi", {}, "… ", before), mark, el("bdi", {}, el("b", {}, cell), after, " …")), el("td", {}, times(ratio(values, gap))),
      ...controls.map((control) => el("td", {}, times(ratio(control.values, gap)))));
  });
  const caption = `${found.length.toLocaleString("en")} ${payload.plural}, the ${state.order} first; 1× is the row's mean of ${number(payload.means[state.row])} ${payload.unit}`;
  const more = found.length > state.shown ? el("button", { type: "button", onclick: () => {
    state.shown += 4 * PAGE;
    draw();
  } }, "Show more") : null;
  return [table(caption, ["in context", payload.name, ...controls.map(({ name }) => name)], rows), more];
}

function trust() {
  if (!controls.length) return el("p", { class: "message" }, "No control was given: what is wide here may be wide in any network. A gallery made with --model also shows a random network, and with --against the traces of another seed.");
  const rows = payload.rows.map((row, n) => el("tr", {}, el("th", { scope: "row" }, row), ...controls.map(({ agreement }) => el("td", {}, agreement[n] === null ? "–" : agreement[n].toFixed(2)))));
  return el("details", { open: payload.rows.length <= 8 }, el("summary", {}, "Can it be trusted? Agreement with the controls"),
    table("Rank correlation with the gaps of each control. Near 1 with another seed: both learned it. Near 1 with a random network: it takes no training", ["row", ...controls.map(({ name }) => name)], rows));
}

// How wide gaps are at each kind of position, on a logarithmic scale.
function histograms() {
  const bins = payload.sorts.map(() => new Float64Array(BINS)), totals = payload.sorts.map(() => []);
  for (let gap = 0; gap < count; gap++) {
    const value = ratio(values, gap);
    if (sorts[gap] === 255 || Number.isNaN(value)) continue;
    totals[sorts[gap]].push(gap);
    bins[sorts[gap]][Math.min(BINS - 1, Math.max(0, Math.floor(((Math.log(value) / WIDEST + 1) / 2) * BINS)))]++;
  }
  const rows = payload.sorts.map((sort, n) => {
    const highest = Math.max(1, ...bins[n]), bars = [...bins[n]].map((value, b) => {
      const bar = el("i", {});
      bar.style.height = `${(value / highest) * 26}px`;
      bar.style.background = heat(Math.exp((((b + 0.5) / BINS) * 2 - 1) * WIDEST));
      return bar;
    });
    return el("tr", {}, el("th", { scope: "row" }, sort), el("td", {}, el("div", { class: "bars", role: "img", "aria-label": `distribution ${sort}` }, ...bars)), el("td", {}, times(mean(values, totals[n]))),
      ...controls.map((control) => el("td", {}, times(mean(control.values, totals[n])))), el("td", {}, totals[n].length.toLocaleString("en")));
  });
  return table("By the kind of position; left of a distribution is an eighth of the mean, right is eight times", ["place", "distribution", "mean", ...controls.map(({ name }) => name), "number"], rows);
}

function profile() {
  if (!state.query) return null;
  const { profile: places, times: often } = matches(state.query);
  if (!often) return el("p", { class: "message" }, "No text has these words.");
  return table(`“${state.query}” stands in the texts ${plural(often, "time")}; the mean ${payload.noun} before each of its parts`, ["part", payload.name, ...controls.map(({ name }) => name)],
    places.map((one) => el("tr", {}, el("th", { scope: "row" }, one.label), el("td", {}, times(mean(values, one.gaps))), ...controls.map((control) => el("td", {}, times(mean(control.values, one.gaps)))))));
}

const body = el("div", {}), picker = (label, options, get, set) => el("label", { class: "group" }, el("span", { class: "label" }, label),
  el("select", { onchange: (event) => {
    set(event.target.value);
    state.shown = PAGE;
    draw();
  } }, ...options.map(([value, name]) => el("option", { value, selected: String(get()) === value }, name))));

function draw() {
  body.replaceChildren(...[trust(), profile(), el("h2", {}, "In context"), ...list(), el("h2", {}, "By the kind of position"), histograms()].filter(Boolean));
}

let waiting = 0;
const box = el("input", { type: "search", class: "search", placeholder: "such as: New York", "aria-label": "search the texts", oninput: () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    Object.assign(state, { query: box.value, shown: PAGE });
    draw();
  }, 120);
} });

readTheme();
setTheme(document.documentElement.dataset.theme || "auto");
document.documentElement.classList.add("mode-gallery");
const theme = el("button", { type: "button", onclick: () => keepTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark") }, "◐");
theme.setAttribute("aria-label", "light or dark");
document.getElementById("app").replaceChildren(
  el("header", {}, el("h1", {}, `Where are a model's ${payload.plural} widest?`),
    el("p", { class: "lead" }, `${plural(payload.texts.length, "text")} with ${count.toLocaleString("en")} characters or tokens. Each number compares the ${payload.noun} before a place with the mean of its row.`),
    el("p", { class: "by" }, el("b", {}, "ropewalk"), ` · ${payload.name}${payload.leftOut ? " · the first texts of a larger archive" : ""}`)),
  el("div", { class: "controls" }, picker("row", payload.rows.map((name, n) => [String(n), name]), () => state.row, (value) => state.row = Number(value)),
    picker("place", [["", "all"], ...payload.sorts.map((sort) => [sort, sort])], () => state.sort, (value) => state.sort = value),
    picker("first", [["widest", "the widest"], ["narrowest", "the narrowest"]], () => state.order, (value) => state.order = value),
    el("label", { class: "group" }, el("span", { class: "label" }, "search"), box), theme),
  el("main", {}, body));
draw();
Object.assign(window, { ropewalk: { state, chosen, matches, draw } });
