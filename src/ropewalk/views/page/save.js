// Files to take away: the picture as SVG, the numbers as CSV, the trace itself.
import { drawBand } from "./atlas.js";
import { SCALES, el, entries, number, state } from "./base.js";
import { palette } from "./color.js";
import { drawPanel, panelHeight } from "./draw.js";
import { FONT } from "./layout.js";
import { canvasPen, svgPen } from "./pen.js";
import { positionsOf } from "./scene.js";
import { stage } from "./stage.js";

export function saveMenu() {
  const item = (name, make) => el("button", { type: "button", onclick: () => {
    menu.open = false;
    make();
  } }, name);
  const menu = el("details", { class: "menu" }, el("summary", {}, "Save"), el("div", {},
    item("Picture to share (PNG)", sharePicture),
    item("Picture (SVG)", () => stage.pictures.forEach((picture, n) => download(svgOf(picture), `ropewalk${n || ""}.svg`, "image/svg+xml"))),
    item("Numbers (CSV)", () => stage.pictures.filter((picture) => !picture.zoomed).forEach((picture, n) => download(csvOf(picture.entry), `ropewalk${n || ""}.csv`, "text/csv"))),
    entries.every((entry) => entry.file)
      ? item("Trace (JSON)", () => stage.pictures.filter((picture) => !picture.zoomed).forEach((picture, n) => download(picture.entry.file, `ropewalk${n || ""}.json`, "application/json"))) : null,
    ...stage.saveItems.map(([name, make]) => item(name, make))));
  return menu;
}

export function download(content, name, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

const HEAD = 58;

// The picture as it is, every panel below the other, with its title, legend and model.
export function svgOf(picture) {
  const pen = svgPen(), each = Math.ceil(picture.atlas ? picture.height + 10 : panelHeight(picture)), { width } = picture.atlas ? picture : picture.sizes, height = HEAD + each * picture.panels.length;
  const [, scale] = SCALES.find(([name]) => name === state.scale), title = `${picture.entry.words.title || "Token spacing"} · ${picture.entry.name}`;
  const note = `${scale}; 1× is the mean, the warmest tint ${number(picture.tops, 3)}×. ${picture.entry.findings[0]?.text || ""}`;
  pen.text(title, 8, 18, 15, palette.ink, { anchor: "left", weight: "600" });
  pen.text(note, 8, 40, 11, palette.soft, { anchor: "left" });
  picture.panels.forEach((panel, n) => {
    pen.raw(`<g transform="translate(0 ${HEAD + n * each})">`);
    (picture.atlas ? drawBand : drawPanel)(pen, picture, panel);
    pen.raw("</g>");
  });
  const safe = (text) => text.replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]).replace(/[\u0000-\u0008\u000b-\u001f]/g, "");
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family='${FONT.replace(/"/g, "")}'>\n` +
    `<title>${safe(title)}</title>\n<desc>${safe(picture.entry.findings.map(({ text }) => text).join(" "))}</desc>\n<rect width="100%" height="100%" fill="${palette.paper}"/>\n${pen.markup()}\n</svg>\n`;
}

// 1200 x 630 pixels, as link previews show: the first finding, the picture, the model, and what it is worth.
function shareCanvas() {
  const [picture] = stage.pictures, { entry } = picture, canvas = el("canvas", { width: 1200, height: 630 }), context = canvas.getContext("2d");
  const write = (text, x, y, size, color, weight = "") => {
    Object.assign(context, { fillStyle: color, font: `${weight} ${size}px ${FONT}`, textAlign: "left", textBaseline: "alphabetic" });
    let line = "";
    for (const word of text.split(" ")) {
      if (line && context.measureText(`${line} ${word}`).width > 1200 - 2 * x) {
        context.fillText(line, x, y);
        y += size * 1.3;
        line = word;
      } else line = line ? `${line} ${word}` : word;
    }
    context.fillText(line, x, y);
    return y + size * 1.3;
  };
  context.fillStyle = palette.paper;
  context.fillRect(0, 0, 1200, 630);
  const top = write(entry.findings[0]?.text || entry.words.title || "Token spacing", 48, 76, 34, palette.ink, "600");
  const across = picture.atlas ? picture.width : picture.sizes.width, tall = picture.atlas ? picture.height : panelHeight(picture);
  const times = Math.min(1104 / across, (560 - top) / tall), panel = picture.panels[0], ratio = picture.panels[0].canvas.width / across;
  panel.seen = true;
  context.save();
  context.translate(48, top);
  context.scale(times, times);
  if (picture.atlas) context.drawImage(panel.canvas, 0, 0, panel.canvas.width / ratio, panel.canvas.height / ratio);
  else drawPanel(canvasPen(context), picture, panel);
  context.restore();
  context.globalAlpha = 1;
  write(`${entry.name} · one model, one seed · warm: above the row's mean, up to ${number(picture.tops, 3)}× · ropewalk`, 48, 600, 18, palette.soft);
  return canvas;
}

function sharePicture() {
  shareCanvas().toBlob((blob) => download(blob, "ropewalk.png", "image/png"));
}

// The same table as traces/table.py: one record per row and token, for spreadsheets.
function csvOf(entry) {
  const bytes = new TextEncoder().encode(entry.text), characters = [];
  entry.cells.forEach((cell) => { for (let t = cell.start; t < cell.end; t++) characters[t] = cell.text; });
  const texts = entry.spans.map(([start, end]) => tokenText(bytes.subarray(start, end)));
  const positions = entry.kind === "increment";
  const columns = ["row", "layer", "head", "index", "token", "start", "end", "text", "character", entry.kind,
    ...(positions ? ["position"] : []), ...(entry.errors ? ["standard_error"] : []), "surprisal", "entropy", "entropy_after"];
  const records = entry.rows.flatMap((row, n) => {
    const at = positions ? positionsOf(entry, { members: [n] }, "row") : null;
    return entry.tokens.map((token, t) => [rowName(row), row.layer, row.head, t, token, ...entry.spans[t], safeText(texts[t]),
      safeText(characters[t]), entry.values[n][t], ...(at ? [at[t]] : []), ...(entry.errors ? [entry.errors[n][t]] : []), entry.surprisal[t], entry.entropy[t], entry.entropyAfter[t]]);
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
