// The two plots of a report: the best score so far, and the Pareto front of two columns.

import { curveStepAfter, curveStepBefore } from "d3-shape";
import { domain, improvements, known, paretoFront, readable } from "./core.js";
import { card, h, select } from "./elements.js";
import { plot, within } from "./plot.js";

export function bestSoFar(view) {
  const { trials, columns, best } = view.data;
  const scores = columns[0].values;
  const steps = improvements(scores);
  const xs = trials.number;
  const scored = known(scores);
  const yRange = domain(scores, steps.slice(-1).map((i) => scores[i]));
  const hidden = scored.filter((i) => scores[i] < yRange[0] || scores[i] > yRange[1]).length;
  const line = steps.filter((i) => scores[i] >= yRange[0]).map((i) => [xs[i], scores[i]]);
  if (best !== null) line.push([xs.at(-1), scores[best]]);
  const failed = xs.filter((_, i) => trials.state[i] === "failed");
  const words = best === null ? "no trial has a score yet" : `${readable(scores[best])} in trial ${xs[best]}, after ${scored.length} trials with a score`;
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
    line,
    curve: curveStepAfter,
    summary: `Best score so far, by trial: ${words}. Left and right arrows go from point to point, Enter selects.`,
    told: (i) => `trial ${xs[i]}: ${readable(scores[i])}`,
  }));
  view.onshow(draw);
  return card("sofar", "Best so far", { subtitle: h("p", {}, notes.filter(Boolean).join("; ")) }, host);
}

export function pareto(view) {
  const { trials, columns } = view.data;
  // The first name is what the search is for: it goes up the page.
  let [y, x] = view.data.front.map((axis) => ({ ...axis }));
  const subtitle = h("p");
  const controls = h("div", { class: "controls" });
  const { host, draw } = plot(view, () => {
    const [xs, ys] = [x, y].map((axis) => columns[axis.column].values.map((v, i) => (columns[0].values[i] === null ? null : v)));
    const front = paretoFront(xs, ys, [x.lower, y.lower]);
    const [xRange, yRange] = [xs, ys].map((values) => domain(values, front.map((i) => values[i])));
    const both = known(xs, ys);
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
      line: front.map((i) => [xs[i], ys[i]]),
      // What a front promises between two of its points: where more of x is wanted, the next one's y already.
      curve: x.lower ? curveStepAfter : curveStepBefore,
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
