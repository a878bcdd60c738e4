// The selected trial: its numbers and its architecture, and how that differs from the best one.

import { decisionJson, decisionText, readable } from "./core.js";
import { card, h } from "./elements.js";

export function architecture(view) {
  const { choices, columns, errors, trials, best } = view.data;
  const subtitle = h("p");
  const body = h("div", { class: "scroll" });
  const back = h("button", { type: "button", onclick: () => view.select(best) }, "Best");

  function draw() {
    const i = view.selected;
    back.hidden = best === null || i === best;
    if (i === null) {
      subtitle.textContent = "no trial has a score yet";
      return body.replaceChildren();
    }
    const compared = best !== null && i !== best;
    const differing = compared ? choices.filter((_, c) => differs(c, i)).length : 0;
    subtitle.textContent = compared ? `${differing} of ${choices.length} choices differ from trial ${trials.number[best]}, the best` : "the best trial";
    body.replaceChildren(numbers(i), ...said(i), decisions(i, compared), asJson(i));
  }

  function differs(c, i) {
    return decisionText(choices[c], trials.decisions[c][i]) !== decisionText(choices[c], trials.decisions[c][best]);
  }

  function numbers(i) {
    const known = columns.filter(({ values }) => values[i] !== null);
    const source = trials.source[i] === null ? [] : [["as in trial", trials.source[i]]];
    const pairs = [["trial", trials.number[i]], ["state", trials.state[i]], ...known.map(({ name, values }) => [name, readable(values[i])]), ...source];
    return h("dl", {}, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value)))));
  }

  function said(i) {
    return trials.error[i] === null ? [] : [h("p", { class: "error" }, errors[trials.error[i]])];
  }

  function decisions(i, compared) {
    const heads = compared ? [`trial ${trials.number[best]}`, `trial ${trials.number[i]}`] : [`trial ${trials.number[i]}`];
    const rows = choices.map((choice, c) => {
      const cells = (compared ? [best, i] : [i]).map((t) => decisionText(choice, trials.decisions[c][t]));
      const kind = !compared ? null : differs(c, i) ? "differs" : "same";
      return h("tr", { class: kind }, h("th", { scope: "row" }, choice.key), cells.map((text) => h("td", {}, text)));
    });
    return h(
      "table", { class: "decisions" },
      h("thead", {}, h("tr", {}, ["choice", ...heads].map((text) => h("th", { scope: "col" }, text)))),
      h("tbody", {}, rows),
    );
  }

  function asJson(i) {
    const taken = choices.map((choice, c) => [choice, trials.decisions[c][i]]).filter(([, decision]) => decision !== null);
    const text = JSON.stringify(Object.fromEntries(taken.map(([choice, decision]) => [choice.key, decisionJson(choice, decision)])), null, 2);
    return h("details", {}, h("summary", {}, "As an architecture file"), h("pre", { tabindex: 0 }, text));
  }

  view.onshow(draw);
  view.onselect(draw);
  return card("architecture", "Architecture", { subtitle, controls: [back] }, body);
}
