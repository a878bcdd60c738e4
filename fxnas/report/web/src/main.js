// Puts the page together. A panel is a function of the view: it returns its card, draws when shown, and follows the
// selected trial. Another panel is one more line in `panels`.

import { rollups } from "d3-array";
import { architecture } from "./architecture.js";
import { bestSoFar, pareto } from "./charts.js";
import { choiceBars } from "./choices.js";
import { improvements } from "./core.js";
import { h } from "./elements.js";
import { graph } from "./graph.js";
import { trialTable } from "./trials.js";

export { scaleLinear } from "d3-scale"; // this and the next are for the tests
export * from "./core.js";

function header({ title, strategy, choices, trials }) {
  const states = rollups(trials.state, (those) => those.length, (state) => state);
  const fact = (number, what) => h("span", {}, h("b", {}, String(number)), ` ${what}`);
  return h(
    "header", { class: "top" },
    h("span", { class: "brand" }, "fxnas"),
    h("h1", {}, title),
    fact(choices.length, "choices"),
    fact(trials.number.length, "trials"),
    states.map(([state, count]) => fact(count, state)),
    h("span", { title: JSON.stringify(strategy) }, String(strategy.name ?? "")),
  );
}

/** Draws the page over the data in it. */
export function start() {
  const data = JSON.parse(document.getElementById("data").textContent);
  data.best = improvements(data.columns[0].values).at(-1) ?? null;
  const [shown, selected] = [[], []];
  const view = {
    data,
    selected: data.best,
    onshow: (listener) => shown.push(listener),
    onselect: (listener) => selected.push(listener),
    select(i) {
      view.selected = i;
      for (const listener of selected) listener();
    },
  };
  const panels = [choiceBars, architecture, ...(data.graph ? [graph] : []), ...(data.front ? [pareto] : []), bestSoFar, trialTable];
  document.title = `${data.title} – fxnas report`;
  document.getElementById("page").replaceChildren(header(data), h("main", { class: data.front ? "two" : "one" }, panels.map((panel) => panel(view))));
  for (const listener of shown) listener();
}
