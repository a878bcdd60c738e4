// Puts the page together. A panel is a function of the view: it returns its card, draws when shown, and follows the
// selected trial. Another panel is one more line in `panels`.

function header({ title, strategy, choices, trials }) {
  const counts = {};
  for (const state of trials.state) counts[state] = (counts[state] ?? 0) + 1;
  const fact = (number, what) => h("span", {}, h("b", {}, String(number)), ` ${what}`);
  return h(
    "header", { class: "top" },
    h("span", { class: "brand" }, "fxnas"),
    h("h1", {}, title),
    fact(choices.length, "choices"),
    fact(trials.number.length, "trials"),
    Object.entries(counts).map(([state, count]) => fact(count, state)),
    h("span", { title: JSON.stringify(strategy) }, String(strategy.name ?? "")),
  );
}

function start(data) {
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

start(JSON.parse(document.getElementById("data").textContent));
