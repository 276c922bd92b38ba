// Two pens with the same strokes: one paints a canvas, one writes SVG. What they draw is decided elsewhere.
import { FONT } from "./layout.js";

export function canvasPen(context) {
  return {
    path(segments, color, width, alpha = 1, dash = []) {
      context.globalAlpha = alpha; context.strokeStyle = color; context.lineWidth = width; context.setLineDash(dash);
      context.beginPath();
      for (const [x1, y1, x2, y2] of segments) { context.moveTo(x1, y1); context.lineTo(x2, y2); }
      context.stroke();
    },
    curves(segments, color, width, alpha = 1) {
      context.globalAlpha = alpha; context.strokeStyle = color; context.lineWidth = width; context.setLineDash([]);
      context.beginPath();
      for (const [x1, y1, x2, y2] of segments) {
        const middle = (y1 + y2) / 2;
        context.moveTo(x1, y1); context.bezierCurveTo(x1, middle, x2, middle, x2, y2);
      }
      context.stroke();
    },
    arch(x1, x2, y, height, color, width, alpha = 1) {
      context.globalAlpha = alpha; context.strokeStyle = color; context.lineWidth = width; context.setLineDash([]);
      context.beginPath(); context.moveTo(x1, y); context.bezierCurveTo(x1, y - height, x2, y - height, x2, y); context.stroke();
    },
    box(x, y, width, height, color, alpha = 1, radius = 0) {
      context.globalAlpha = alpha; context.fillStyle = color;
      context.beginPath(); context.roundRect(x, y, width, height, radius); context.fill();
    },
    frame(x, y, width, height, color, radius = 0) {
      context.globalAlpha = 1; context.strokeStyle = color; context.lineWidth = 1.5; context.setLineDash([]);
      context.beginPath(); context.roundRect(x, y, width, height, radius); context.stroke();
    },
    // `squeeze` narrows the letters; `tall` is the height that a heap of combining marks may not leave.
    text(label, x, y, size, color, { alpha = 1, squeeze = 1, anchor = "center", weight = "", tall = 0 } = {}) {
      context.save();
      if (tall) { context.beginPath(); context.rect(x - 200, y - tall / 2, 400, tall); context.clip(); }
      context.globalAlpha = alpha; context.fillStyle = color; context.textAlign = anchor;
      context.textBaseline = "alphabetic"; context.font = `${weight} ${size}px ${FONT}`;
      context.translate(x, y + size * 0.35);
      context.scale(squeeze, 1);
      context.fillText(label, 0, 0);
      context.restore();
    },
  };
}

export function svgPen() {
  const out = [], n = (value) => Number(value.toFixed(2));
  const safe = (text) => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "").replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
  const stroke = (color, width, alpha) => `fill="none" stroke="${color}" stroke-width="${width}" stroke-opacity="${n(alpha)}"`;
  return {
    path(segments, color, width, alpha = 1, dash = []) {
      const d = segments.map(([x1, y1, x2, y2]) => `M${n(x1)} ${n(y1)}L${n(x2)} ${n(y2)}`).join("");
      if (d) out.push(`<path d="${d}" ${stroke(color, width, alpha)}${dash.length ? ` stroke-dasharray="${dash}"` : ""}/>`);
    },
    curves(segments, color, width, alpha = 1) {
      const d = segments.map(([x1, y1, x2, y2]) => {
        const middle = n((y1 + y2) / 2);
        return `M${n(x1)} ${n(y1)}C${n(x1)} ${middle} ${n(x2)} ${middle} ${n(x2)} ${n(y2)}`;
      }).join("");
      if (d) out.push(`<path d="${d}" ${stroke(color, width, alpha)}/>`);
    },
    arch(x1, x2, y, height, color, width, alpha = 1) {
      out.push(`<path d="M${n(x1)} ${n(y)}C${n(x1)} ${n(y - height)} ${n(x2)} ${n(y - height)} ${n(x2)} ${n(y)}" ${stroke(color, width, alpha)}/>`);
    },
    box(x, y, width, height, color, alpha = 1, radius = 0) {
      out.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}" rx="${radius}" fill="${color}" fill-opacity="${n(alpha)}"/>`);
    },
    frame(x, y, width, height, color, radius = 0) {
      out.push(`<rect x="${n(x)}" y="${n(y)}" width="${n(width)}" height="${n(height)}" rx="${radius}" ${stroke(color, 1.5, 1)}/>`);
    },
    text(label, x, y, size, color, { alpha = 1, squeeze = 1, anchor = "center", weight = "" } = {}) {
      const place = { center: "middle", left: "start", right: "end" }[anchor];
      out.push(`<text transform="translate(${n(x)} ${n(y + size * 0.35)}) scale(${n(squeeze)} 1)" font-size="${n(size)}" ` +
        `text-anchor="${place}" fill="${color}" fill-opacity="${n(alpha)}"${weight ? ` font-weight="${weight}"` : ""}>${safe(label)}</text>`);
    },
    raw: (markup) => out.push(markup),
    markup: () => out.join("\n"),
  };
}
