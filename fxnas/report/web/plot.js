// One plot: points, a line over them, and a way to every point by pointer and by keyboard.

const MARGIN = { left: 52, right: 14, top: 22, bottom: 40 };
const HEIGHT = 260;

/**
 * A plot that fills the width it is given.
 *
 * `content()` returns what to draw: xs and ys (null is not drawn), the labels of the axes, `line` (a path made with the
 * functions px and py), `marked` (positions to draw large), `below` (xs of what has no y), `summary` (the plot in words)
 * and `told(i)` (a point in words). All points are one path, so that ten thousand draw and print like three.
 */
function plot(view, content) {
  const host = h("div", { class: "plot" });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  let drawn = null;
  let current = null;

  function draw() {
    const width = Math.max(260, host.clientWidth || 480);
    drawn = { ...content(), width };
    Object.assign(drawn, scales(drawn));
    drawn.shown = inside(drawn);
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
    const visible = i !== null && drawn.xs[i] !== null && drawn.ys[i] !== null && within(drawn, i);
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
    const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let [found, least] = [null, 20 ** 2];
    for (const i of drawn.shown) {
      const distance = (drawn.px(drawn.xs[i]) - x) ** 2 + (drawn.py(drawn.ys[i]) - y) ** 2;
      if (distance < least) [found, least] = [i, distance];
    }
    return found;
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

/** Halves keep the width of a range finite, however large its ends. */
function scales({ xRange, yRange, width }) {
  const scale = ([low, high], from, to) => (v) => from + ((v / 2 - low / 2) / (high / 2 - low / 2)) * (to - from);
  const room = 6; // so that a point at the edge isn't cut
  return {
    px: scale(xRange, MARGIN.left + room, width - MARGIN.right - room),
    py: scale(yRange, HEIGHT - MARGIN.bottom - room, MARGIN.top + room),
  };
}

function within({ xs, ys, xRange, yRange }, i) {
  return xs[i] >= xRange[0] && xs[i] <= xRange[1] && ys[i] >= yRange[0] && ys[i] <= yRange[1];
}

/** The points that are drawn, from left to right. */
function inside(drawn) {
  const { xs, ys } = drawn;
  const found = xs.map((_, i) => i).filter((i) => xs[i] !== null && ys[i] !== null && within(drawn, i));
  return found.sort((i, j) => xs[i] - xs[j] || i - j);
}

function axes({ xRange, yRange, px, py, width, xLabel, yLabel, whole }) {
  const [left, bottom] = [MARGIN.left, HEIGHT - MARGIN.bottom];
  const across = ticks(...xRange, Math.min(6, Math.floor(width / 70))).filter((v) => !whole || Number.isInteger(v));
  const up = ticks(...yRange, 5);
  const [xTexts, yTexts] = [tickLabels(across), tickLabels(up)];
  return [
    s("path", { class: "grid", d: up.map((v) => `M${left} ${py(v).toFixed(1)}H${width - MARGIN.right}`).join("") }),
    s("path", { class: "axis", d: `M${left} ${bottom}H${width - MARGIN.right}` }),
    ...up.map((v, i) => s("text", { class: "tick end", x: left - 8, y: py(v) + 4 }, yTexts[i])),
    ...across.map((v, i) => s("text", { class: "tick middle", x: px(v), y: bottom + 16 }, xTexts[i])),
    s("text", { class: "label", x: 8, y: 12 }, `↑ ${yLabel}`),
    s("text", { class: "label end", x: width - MARGIN.right, y: HEIGHT - 6 }, `${xLabel} →`),
  ];
}

function points({ xs, ys, px, py, shown, line, marked, below }) {
  const dots = (those) => those.map((i) => `M${px(xs[i]).toFixed(1)} ${py(ys[i]).toFixed(1)}h0`).join("");
  const foot = HEIGHT - MARGIN.bottom;
  const large = shown.filter((i) => marked.has(i));
  return [
    s("path", { class: shown.length > 1000 ? "dots small" : "dots", d: dots(shown) }),
    s("path", { class: "failed", d: below.map((x) => `M${px(x).toFixed(1)} ${foot}v5`).join("") }),
    s("path", { class: "line", d: line(px, py) }),
    s("path", { class: "rim", d: dots(large) }),
    s("path", { class: "marks", d: dots(large) }),
  ];
}
