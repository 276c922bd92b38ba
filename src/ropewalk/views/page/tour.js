// A tour of five steps on the page itself; by keyboard alone, in English and Chinese.
import { el, payload } from "./base.js";

const STEPS = [
  [".stage", "Rows are layers. Each character stands where that layer puts it; in a heat map each square is one gap.", "每一行是模型的一层。每个字符站在该层给它的位置；热图中每个方格是一个间隔。"],
  [".legend", "Warm means a wider gap than the row's mean. 1× is the mean.", "暖色表示间隔大于该行的平均值，1× 为平均值。"],
  [".findings", "What stands out, from the numbers alone. Press a sentence to see its place.", "这里列出数字中最突出的地方。点击句子即可定位。"],
  [".controls", "Compare patterns with a scale per row, lengths with one scale, and even spacing with what an ordinary model has.", "“Scale per row” 比较模式，“One scale” 比较长度，“Even spacing” 是普通模型的等距。"],
  [".detail", "Point at a character, or use the arrow keys, for its numbers. Pin two to measure between them.", "指向一个字符或用方向键查看数值；固定两个字符可测量其间距离。"],
];

export function tourButton() {
  if (payload.mode === "note") return null;
  const chinese = /^zh/i.test(navigator.language || "");
  const box = el("dialog", { class: "tour", "aria-live": "polite" });
  let step = 0, lit = null;
  const light = (node) => {
    lit?.classList.remove("lit");
    lit = node;
    lit?.classList.add("lit");
    lit?.scrollIntoView({ block: "nearest" });
  };
  const close = () => {
    light(null);
    box.close();
    button.focus();
  };
  const go = (to) => {
    step = to;
    if (step < 0 || step >= STEPS.length) return close();
    const [place, english, other] = STEPS[step];
    light(document.querySelector(place));
    const next = el("button", { type: "button", onclick: () => go(step + 1) }, chinese ? "下一步" : step + 1 < STEPS.length ? "Next" : "Done");
    box.replaceChildren(el("p", {}, chinese ? other : english), el("div", { class: "actions" },
      el("span", {}, `${step + 1} / ${STEPS.length}`), step ? el("button", { type: "button", onclick: () => go(step - 1) }, chinese ? "上一步" : "Back") : null, next,
      el("button", { type: "button", onclick: close }, chinese ? "关闭" : "Close")));
    if (!box.open) box.show();
    next.focus();
  };
  box.addEventListener("keydown", (event) => {
    const to = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (to) go(step + to);
    if (event.key === "Escape") close();
    if (to || event.key === "Escape") event.preventDefault();
    event.stopPropagation();
  });
  const button = el("button", { type: "button", class: "plain", onclick: () => go(0) }, chinese ? "导览" : "Tour");
  return el("span", { class: "group" }, button, box);
}
