// The two plots of a report: the best score so far, and the Pareto front of two columns.

function bestSoFar(view) {
  const { trials, columns, best } = view.data;
  const scores = columns[0].values;
  const steps = improvements(scores);
  const xs = trials.number;
  const scored = scores.filter((score) => score !== null).length;
  const yRange = domain(scores, steps.slice(-1).map((i) => scores[i]));
  const hidden = scores.filter((score) => score !== null && (score < yRange[0] || score > yRange[1])).length;
  const failed = xs.filter((_, i) => trials.state[i] === "failed");
  const words = best === null ? "no trial has a score yet" : `${readable(scores[best])} in trial ${xs[best]}, after ${scored} trials with a score`;
  const notes = [words, hidden ? `${hidden} far off not drawn` : "", failed.length ? `${failed.length} failed (red)` : ""];
  const { host, draw } = plot(view, () => ({
    xs,
    ys: scores,
    xRange: xs.length > 1 ? [xs[0], xs.at(-1)] : [0, 1],
    yRange,
    xLabel: "trial",
    yLabel: "score",
    whole: true,
    marked: new Set(),
    below: failed,
    line: (px, py) => stepLine(steps.filter((i) => scores[i] >= yRange[0]), xs, scores, px, py) + (steps.length ? `H${px(xs.at(-1)).toFixed(1)}` : ""),
    summary: `Best score so far, by trial: ${words}. Left and right arrows go from point to point, Enter selects.`,
    told: (i) => `trial ${xs[i]}: ${readable(scores[i])}`,
  }));
  view.onshow(draw);
  return card("sofar", "Best so far", { subtitle: h("p", {}, notes.filter(Boolean).join("; ")) }, host);
}

/** From each point straight on to the next one's x, then to its y. */
function stepLine(steps, xs, ys, px, py) {
  return steps.map((i, n) => (n ? `H${px(xs[i]).toFixed(1)}V${py(ys[i]).toFixed(1)}` : `M${px(xs[i]).toFixed(1)} ${py(ys[i]).toFixed(1)}`)).join("");
}

/** What a front promises between two of its points: where more of x is wanted, the next one's y already. */
function frontLine(front, xs, ys, lowerX, px, py) {
  if (lowerX) return stepLine(front, xs, ys, px, py);
  return front.map((i, n) => (n ? `V${py(ys[i]).toFixed(1)}H${px(xs[i]).toFixed(1)}` : `M${px(xs[i]).toFixed(1)} ${py(ys[i]).toFixed(1)}`)).join("");
}

function pareto(view) {
  const { trials, columns } = view.data;
  // The first name is what the search is for: it goes up the page.
  let [y, x] = view.data.front.map((axis) => ({ ...axis }));
  const subtitle = h("p");
  const controls = h("div", { class: "controls" });
  const { host, draw } = plot(view, () => {
    const [xs, ys] = [x, y].map((axis) => columns[axis.column].values.map((v, i) => (columns[0].values[i] === null ? null : v)));
    const front = paretoFront(xs, ys, [x.lower, y.lower]);
    const [xRange, yRange] = [xs, ys].map((values) => domain(values, front.map((i) => values[i])));
    const both = xs.map((_, i) => i).filter((i) => xs[i] !== null && ys[i] !== null);
    const hidden = both.filter((i) => !within({ xs, ys, xRange, yRange }, i)).length;
    const words = `${front.length} of ${both.length} trials are not beaten in both`;
    subtitle.textContent = hidden ? `${words}; ${hidden} far off not drawn` : words;
    return {
      xs,
      ys,
      xRange,
      yRange,
      xLabel: axisLabel(x),
      yLabel: axisLabel(y),
      whole: false,
      marked: new Set(front),
      below: [],
      line: (px, py) => frontLine(front, xs, ys, x.lower, px, py),
      summary: `${axisLabel(y)} over ${axisLabel(x)}: ${words}. Left and right arrows go from point to point, Enter selects.`,
      told: (i) => `trial ${trials.number[i]}: ${columns[y.column].name} ${readable(ys[i])}, ${columns[x.column].name} ${readable(xs[i])}`,
    };
  });

  function axisLabel({ column, lower }) {
    return `${columns[column].name}, ${lower ? "lower" : "higher"} is better`;
  }

  const names = columns.map(({ name }, i) => [String(i), name]);
  for (const [label, axis] of [["up", y], ["across", x]]) {
    controls.append(
      select(label, names, String(axis.column), (value) => {
        axis.column = Number(value);
        draw();
      }),
      select(`better ${label}`, [["", "higher is better"], ["1", "lower is better"]], axis.lower ? "1" : "", (value) => {
        axis.lower = Boolean(value);
        draw();
      }),
    );
  }
  view.onshow(draw);
  return card("pareto", "Pareto front", { subtitle }, host, controls);
}
