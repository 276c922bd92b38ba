// Files to take away: the picture as SVG, the numbers as CSV, the trace itself.
function saveMenu() {
  const item = (name, make) => el("button", { type: "button", onclick: () => {
    menu.open = false;
    make();
  } }, name);
  const menu = el("details", { class: "menu" }, el("summary", {}, "Save"), el("div", {},
    item("Picture (SVG)", () => stage.pictures.forEach((picture, n) => download(svgOf(picture), `ropewalk${n || ""}.svg`, "image/svg+xml"))),
    item("Numbers (CSV)", () => stage.pictures.forEach((picture, n) => download(csvOf(picture.entry), `ropewalk${n || ""}.csv`, "text/csv"))),
    entries.every((entry) => entry.file)
      ? item("Trace (JSON)", () => stage.pictures.forEach((picture, n) => download(picture.entry.file, `ropewalk${n || ""}.json`, "application/json"))) : null,
    ...(payload.mode === "live" ? [item("This page (HTML)", savePage)] : [])));
  return menu;
}

function download(content, name, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

// The picture as it stands, with every panel below the other and a title that says what it is.
function svgOf(picture) {
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

function csvOf(entry) {
  const rows = ["line,token,start,end,text,value,surprisal,entropy"], bytes = new TextEncoder().encode(entry.text);
  const quote = (text) => `"${text.replace(/"/g, '""').replace(/^([=+\-@\t\r])/, "'$1")}"`;
  entry.lines.forEach((line, n) => {
    const name = (line.layer === null ? "all" : `L${line.layer}`) + (line.head === null ? "" : `.h${line.head}`);
    entry.spans.forEach(([start, end], t) => {
      const text = quote(new TextDecoder().decode(bytes.slice(start, end)));
      rows.push([name, t, start, end, text, entry.values[n][t], entry.surprisal[t] ?? "", entry.entropy[t] ?? ""].join());
    });
  });
  return `${rows.join("\n")}\n`;
}
