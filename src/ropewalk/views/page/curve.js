// How far each row's positions run ahead of the token index, or fall behind it.
import { el, number } from "./base.js";
import { positionsOf } from "./scene.js";
import { stage } from "./stage.js";

const WIDTH = 720, HEIGHT = 220, POINTS = 360;

export function curveSection() {
  const holder = el("div", {}), section = el("details", { class: "curve" }, el("summary", {}, "Position against index"), holder);
  const draw = () => section.open && holder.replaceChildren(...stage.pictures.slice(0, 1).map(chart));
  section.addEventListener("toggle", draw);
  return section;
}

function chart({ entry, rows }) {
  const learned = rows.filter((row) => row.members.length), count = entry.tokens.length, step = Math.max(1, Math.ceil(count / POINTS));
  const lines = learned.map((row) => {
    const positions = positionsOf(entry, row, "row"), mean = count > 1 ? (positions[count - 1] - positions[0]) / (count - 1) : 1;
    return positions.filter((_, t) => t % step === 0).map((at, n) => (at - positions[0]) / (Math.abs(mean) || 1) - n * step);
  });
  const far = Math.max(1e-9, ...lines.map((line) => line.reduce((most, one) => Math.max(most, Math.abs(one)), 0)));
  const shape = (line) => [...line].map((value, n) => `${((n * step) / Math.max(1, count - 1)) * WIDTH},${HEIGHT / 2 - (value / far) * (HEIGHT / 2 - 8)}`).join(" ");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), add = (tag, attributes, text = "") => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.textContent = text;
    svg.append(node);
  };
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Positions minus even spacing, in means of the row; at most ${number(far)} for ${learned.length} rows.`);
  add("line", { x1: 0, x2: WIDTH, y1: HEIGHT / 2, y2: HEIGHT / 2, class: "axis" });
  lines.forEach((line, n) => add("polyline", { points: shape(line), class: "track", style: `stroke: hsl(${(n * 300) / Math.max(1, lines.length)} 60% 45%)` }));
  return el("figure", {}, svg, el("figcaption", {}, `A row rises where its gaps are wider than its mean and falls where they are narrower; the height is ${number(far)} mean gaps. Rows: `,
    ...learned.map((row, n) => {
      const name = el("b", {}, `${row.label} `);
      name.style.color = `hsl(${(n * 300) / Math.max(1, lines.length)} 60% 45%)`;
      return name;
    })));
}
