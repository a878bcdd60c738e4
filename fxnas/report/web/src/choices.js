// Choices against score: one panel a choice, one bar a candidate. It says the same of three trials and of thousands.

import { extent } from "d3-array";
import { scaleLinear } from "d3-scale";
import { bestTenth, candidateName, candidateScores, drawable, readable } from "./core.js";
import { card, h, select } from "./elements.js";

const FIRST_CHOICES = 24;
const MEASURES = [["mean", "mean score"], ["best", "best score"], ["share", "share of the best tenth"]];

export function choiceBars(view) {
  const { choices, columns, trials } = view.data;
  // A repeated architecture has its score from an earlier trial, and would count twice.
  const scores = columns[0].values.map((score, i) => (trials.source[i] === null ? score : null));
  const tenth = bestTenth(scores);
  const tables = choices.map((choice, c) => candidateScores(choice, trials.decisions[c], scores, tenth));
  const grid = h("div", { class: "bars" });
  const more = h("button", { type: "button", onclick: () => { all = true; draw(); } }, `Show all ${choices.length} choices`);
  let measure = "mean";
  let all = false;

  function draw() {
    const values = drawable(tables.flat().map((row) => row[measure]));
    const range = measure === "share" || !values.length ? [0, 1] : extent(values);
    const shown = all ? choices : choices.slice(0, FIRST_CHOICES);
    grid.replaceChildren(...shown.map((choice, c) => panel(choice, c, range)));
    more.hidden = all || choices.length <= FIRST_CHOICES;
  }

  function panel(choice, c, range) {
    const decision = view.selected === null ? null : trials.decisions[c][view.selected];
    const chosen = decision === null ? [] : [decision].flat();
    const tried = tables[c].filter((row) => row.n).length;
    const rows = tables[c].map((row) => bar(choice, row, range, row.index === null ? decision !== null && !chosen.length : chosen.includes(row.index)));
    return h(
      "table", { class: "choice" },
      h("caption", {}, h("div", {}, h("span", { class: "key" }, choice.key), h("span", { class: "tried" }, `${tried} of ${tables[c].length} tried`))),
      h("tbody", {}, rows),
    );
  }

  function bar(choice, row, [low, high], chosen) {
    const name = row.index === null ? "none" : candidateName(choice, row.index);
    const value = row.n ? row[measure] : null;
    const fill = h("div", { class: "fill" });
    // A bar starts at the lowest value of all; a stub keeps that one visible.
    const width = low < high ? scaleLinear([low, high], [measure === "share" ? 0 : 4, 100]).clamp(true) : () => 100;
    fill.style.width = value === null ? "0" : `${width(value)}%`;
    const text = measure === "share" && value !== null ? `${Math.round(100 * value)} %` : readable(value);
    return h(
      "tr", { class: chosen ? "chosen" : null, title: `${row.n} trials` },
      h("th", { scope: "row" }, name),
      h("td", { class: "track", "aria-hidden": "true" }, h("div", {}, fill)),
      h("td", { class: "value" }, text),
    );
  }

  view.onshow(draw);
  view.onselect(draw);
  const subtitle = h("p", {}, "by candidate, over the trials that took it; bold is what the selected trial took");
  const controls = select("show", MEASURES, measure, (value) => { measure = value; draw(); });
  return card("choices", "Choices and score", { subtitle, controls: [controls] }, grid, more);
}
