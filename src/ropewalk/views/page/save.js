// Files to take away: the picture as SVG, the numbers as CSV, the trace itself.
import { SCALES, el, entries, state } from "./base.js";
import { palette } from "./color.js";
import { drawPanel, panelHeight } from "./draw.js";
import { FONT } from "./layout.js";
import { svgPen } from "./pen.js";
import { positionsOf } from "./scene.js";
import { stage } from "./stage.js";

export function saveMenu() {
  const item = (name, make) => el("button", { type: "button", onclick: () => {
    menu.open = false;
    make();
  } }, name);
  const menu = el("details", { class: "menu" }, el("summary", {}, "Save"), el("div", {},
    item("Picture (SVG)", () => stage.pictures.forEach((picture, n) => download(svgOf(picture), `ropewalk${n || ""}.svg`, "image/svg+xml"))),
    item("Numbers (CSV)", () => stage.pictures.forEach((picture, n) => download(csvOf(picture.entry), `ropewalk${n || ""}.csv`, "text/csv"))),
    entries.every((entry) => entry.file)
      ? item("Trace (JSON)", () => stage.pictures.forEach((picture, n) => download(picture.entry.file, `ropewalk${n || ""}.json`, "application/json"))) : null,
    ...stage.saveItems.map(([name, make]) => item(name, make))));
  return menu;
}

export function download(content, name, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// The picture as it stands, with every panel below the other and a title that says what it is.
export function svgOf(picture) {
  const pen = svgPen(), each = Math.ceil(panelHeight(picture)), { width } = picture.sizes, height = each * picture.panels.length;
  picture.panels.forEach((panel, n) => {
    pen.raw(`<g transform="translate(0 ${n * each})">`);
    drawPanel(pen, picture, panel);
    pen.raw("</g>");
  });
  const scale = SCALES.find(([name]) => name === state.scale)[1];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family='${FONT.replace(/"/g, "")}'>\n` +
    `<title>Token spacing, ${scale.toLowerCase()}</title>\n<rect width="100%" height="100%" fill="${palette.paper}"/>\n${pen.markup()}\n</svg>\n`;
}

// The same table as traces/table.py: one record per row and token, for spreadsheets.
function csvOf(entry) {
  const bytes = new TextEncoder().encode(entry.text), characters = [];
  entry.cells.forEach((cell) => { for (let t = cell.start; t < cell.end; t++) characters[t] = cell.text; });
  const texts = entry.spans.map(([start, end]) => tokenText(bytes.subarray(start, end)));
  const positions = entry.kind === "increment";
  const columns = ["row", "layer", "head", "index", "token", "start", "end", "text", "character", entry.kind,
    ...(positions ? ["position"] : []), "surprisal", "entropy", "entropy_after"];
  const records = entry.rows.flatMap((row, n) => {
    const at = positions ? positionsOf(entry, { members: [n] }, "row") : null;
    return entry.tokens.map((token, t) => [rowName(row), row.layer, row.head, t, token, ...entry.spans[t], safeText(texts[t]),
      safeText(characters[t]), entry.values[n][t], ...(at ? [at[t]] : []), entry.surprisal[t], entry.entropy[t], entry.entropyAfter[t]]);
  });
  const field = (value) => (/[",\n\r]/.test(value ?? "") ? `"${String(value).replace(/"/g, '""')}"` : String(value ?? ""));
  return `\ufeff${[columns, ...records].map((record) => record.map(field).join()).join("\n")}\n`;
}

// What a token writes; each byte that is only part of a character as its number, <E5>.
function tokenText(bytes) {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const lead = bytes[at], length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      if (at + length > bytes.length) throw new RangeError();
      text += decoder.decode(bytes.subarray(at, at + length));
      at += length;
    } catch {
      text += byteName(lead);
      at += 1;
    }
  }
  return text;
}

const byteName = (byte) => `<${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
const rowName = ({ layer, head }) => (layer === null ? "all" : `L${layer}`) + (head === null ? "" : `.h${head}`);
const safeText = (text) => text.replace(/^[=+\-@\t\r]/, "'$&"); // a spreadsheet would run it as a formula
