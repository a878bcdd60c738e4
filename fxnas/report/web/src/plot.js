// One plot: points, a line over them, and a way to every point by pointer and by keyboard.

import { quadtree } from "d3-quadtree";
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { known, tickFormat } from "./core.js";
import { h, s } from "./elements.js";

const MARGIN = { left: 52, right: 14, top: 22, bottom: 40 };
const HEIGHT = 260;
const ROOM = 6; // so that a point at the edge isn't cut
const REACH = 20; // of the pointer

/**
 * A plot that fills the width it is given.
 *
 * `content()` returns what to draw: xs and ys (null is not drawn), their ranges, the labels of the axes, `line` (pairs of
 * x and y) and d3's `curve` through it, `marked` (positions to draw large), `below` (xs of what has no y), `summary` (the
 * plot in words) and `told(i)` (a point in words). All points are one path, so that ten thousand draw and print like three.
 */
export function plot(view, content) {
  const host = h("div", { class: "plot" });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  let drawn = null;
  let current = null;

  function draw() {
    const width = Math.max(260, host.clientWidth || 480);
    drawn = { ...content(), width };
    const { xs, ys, xRange, yRange } = drawn;
    const px = scaleLinear(xRange, [MARGIN.left + ROOM, width - MARGIN.right - ROOM]).clamp(true);
    const py = scaleLinear(yRange, [HEIGHT - MARGIN.bottom - ROOM, MARGIN.top + ROOM]).clamp(true);
    // The points that are drawn, from left to right.
    const shown = known(xs, ys).filter((i) => within(drawn, i)).sort((i, j) => xs[i] - xs[j] || i - j);
    // Backwards, since of equal points it finds the last.
    const near = quadtree([...shown].reverse(), (i) => px(xs[i]), (i) => py(ys[i]));
    Object.assign(drawn, { px, py, shown, near });
    const chart = s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", tabindex: 0, "aria-label": drawn.summary, onkeydown });
    chart.append(...axes(drawn), ...points(drawn));
    drawn.focus = s("circle", { class: "focus", r: 6, visibility: "hidden" });
    drawn.chosen = s("circle", { class: "chosen", r: 6, visibility: "hidden" });
    chart.append(drawn.chosen, drawn.focus);
    host.replaceChildren(chart, tip);
    place(drawn.chosen, view.selected);
    point(null);
  }

  function place(circle, i) {
    const visible = drawn.shown.includes(i);
    circle.setAttribute("visibility", visible ? "visible" : "hidden");
    if (!visible) return;
    circle.setAttribute("cx", drawn.px(drawn.xs[i]));
    circle.setAttribute("cy", drawn.py(drawn.ys[i]));
  }

  function point(i) {
    current = i;
    place(drawn.focus, i);
    tip.hidden = i === null;
    if (i === null) return;
    tip.textContent = drawn.told(i);
    const [x, y] = [drawn.px(drawn.xs[i]), drawn.py(drawn.ys[i])];
    tip.style.left = `${Math.min(Math.max(x, 70), drawn.width - 70)}px`;
    tip.style.top = `${y + (y < 60 ? 14 : -12)}px`;
    tip.classList.toggle("under", y < 60);
  }

  function onkeydown(event) {
    const { shown } = drawn;
    const at = shown.indexOf(current);
    if (event.key === "ArrowRight") point(shown[Math.min(at + 1, shown.length - 1)] ?? null);
    else if (event.key === "ArrowLeft") point(shown[Math.max(at - 1, 0)] ?? null);
    else if (event.key === "Home") point(shown[0] ?? null);
    else if (event.key === "End") point(shown.at(-1) ?? null);
    else if (event.key === "Escape") point(null);
    else if ((event.key === "Enter" || event.key === " ") && current !== null) view.select(current);
    else return;
    event.preventDefault();
  }

  function nearest(event) {
    const box = host.getBoundingClientRect();
    const scale = drawn.width / box.width;
    return drawn.near.find((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, REACH) ?? null;
  }

  host.addEventListener("pointermove", (event) => point(nearest(event)));
  host.addEventListener("pointerleave", () => point(null));
  host.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found !== null) view.select(found);
  });
  view.onselect(() => drawn && place(drawn.chosen, view.selected));
  new ResizeObserver(() => drawn?.width !== host.clientWidth && draw()).observe(host);
  return { host, draw };
}

export function within({ xs, ys, xRange, yRange }, i) {
  return xs[i] >= xRange[0] && xs[i] <= xRange[1] && ys[i] >= yRange[0] && ys[i] <= yRange[1];
}

function axes({ px, py, width, xLabel, yLabel, whole }) {
  const [left, bottom] = [MARGIN.left, HEIGHT - MARGIN.bottom];
  const [low, high] = px.domain();
  const count = Math.min(6, Math.floor(width / 70), whole ? high - low : Infinity);
  const [across, up] = [px.ticks(count), py.ticks(5)];
  const [xText, yText] = [tickFormat(px, count), tickFormat(py, 5)];
  return [
    s("path", { class: "grid", d: up.map((v) => `M${left} ${py(v).toFixed(1)}H${width - MARGIN.right}`).join("") }),
    s("path", { class: "axis", d: `M${left} ${bottom}H${width - MARGIN.right}` }),
    ...up.map((v) => s("text", { class: "tick end", x: left - 8, y: py(v) + 4 }, yText(v))),
    ...across.map((v) => s("text", { class: "tick middle", x: px(v), y: bottom + 16 }, xText(v))),
    s("text", { class: "label", x: 8, y: 12 }, `↑ ${yLabel}`),
    s("text", { class: "label end", x: width - MARGIN.right, y: HEIGHT - 6 }, `${xLabel} →`),
  ];
}

function points({ xs, ys, px, py, shown, marked, below, ...drawn }) {
  const dots = (those) => those.map((i) => `M${px(xs[i]).toFixed(1)} ${py(ys[i]).toFixed(1)}h0`).join("");
  const through = line(([x]) => px(x), ([, y]) => py(y)).curve(drawn.curve).digits(1);
  const foot = HEIGHT - MARGIN.bottom;
  const large = shown.filter((i) => marked.has(i));
  return [
    s("path", { class: shown.length > 1000 ? "dots small" : "dots", d: dots(shown) }),
    s("path", { class: "failed", d: below.map((x) => `M${px(x).toFixed(1)} ${foot}v5`).join("") }),
    s("path", { class: "line", d: through(drawn.line) }),
    s("path", { class: "rim", d: dots(large) }),
    s("path", { class: "marks", d: dots(large) }),
  ];
}
