// The table of trials: sorted, filtered, and a page at a time.

import { ascending, descending, range } from "d3-array";
import { decisionText, readable } from "./core.js";
import { card, h, select } from "./elements.js";

const PAGE = 25;

export function trialTable(view) {
  const { columns, errors, trials } = view.data;
  const count = trials.number.length;
  const fields = [
    { name: "trial", values: trials.number },
    { name: "state", values: trials.state, text: (i) => trials.state[i] + (trials.source[i] === null ? "" : ` (as ${trials.source[i]})`) },
    ...columns.map(({ name, values }) => ({ name, values, text: (i) => readable(values[i]), number: true })),
    { name: "error", values: trials.error.map((e) => (e === null ? null : errors[e])), long: true },
  ];
  const searched = new Map();
  let sorted = { field: fields[0], up: true };
  let state = "";
  let wanted = "";
  let page = 0;

  const head = h("tr");
  const body = h("tbody");
  const place = h("span", { role: "status" });
  const turn = (by) => () => { page += by; draw(); };
  const [previous, next] = [h("button", { type: "button", onclick: turn(-1) }, "Previous"), h("button", { type: "button", onclick: turn(1) }, "Next")];

  function text(i) {
    if (!searched.has(i)) {
      const taken = view.data.choices.map((choice, c) => `${choice.key}=${decisionText(choice, trials.decisions[c][i])}`);
      searched.set(i, [trials.number[i], ...taken, trials.error[i] === null ? "" : errors[trials.error[i]]].join("\n").toLowerCase());
    }
    return searched.get(i);
  }

  function found() {
    const { field: { values }, up } = sorted;
    const fits = (i) => (!state || trials.state[i] === state) && (!wanted || text(i).includes(wanted));
    // What is missing comes last in both directions.
    const order = up ? ascending : descending;
    const compare = (i, j) => (values[i] === null) - (values[j] === null) || order(values[i], values[j]) || i - j;
    return range(count).filter(fits).sort(compare);
  }

  function draw() {
    const rows = found();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    heads();
    body.replaceChildren(...rows.slice(page * PAGE, (page + 1) * PAGE).map(row));
    place.textContent = `page ${page + 1} of ${pages}, ${rows.length} of ${count} trials`;
    previous.disabled = page === 0;
    next.disabled = page === pages - 1;
  }

  function heads() {
    head.replaceChildren(...fields.map((field) => {
      const own = field === sorted.field;
      const sort = () => {
        sorted = { field, up: own ? !sorted.up : !field.number };
        page = 0;
        draw();
        head.children[fields.indexOf(field)].firstChild.focus();
      };
      const order = own ? (sorted.up ? "ascending" : "descending") : null;
      return h(
        "th", { scope: "col", class: field.number ? "number" : null, "aria-sort": order },
        h("button", { type: "button", onclick: sort }, field.name, own ? (sorted.up ? " ↑" : " ↓") : ""),
      );
    }));
  }

  function row(i) {
    const selected = i === view.selected;
    const cells = fields.slice(1).map((field) => {
      const value = field.text ? field.text(i) : field.values[i] ?? "";
      return h("td", { class: field.number ? "number" : field.long ? "long" : null, title: field.long && value ? value : null }, value);
    });
    const pick = h("button", { type: "button", "aria-pressed": String(selected), "aria-label": `trial ${trials.number[i]}, select` }, String(trials.number[i]));
    const onclick = () => {
      const focused = document.activeElement === pick;
      view.select(i);
      if (focused) body.querySelector("[aria-pressed=true]")?.focus();
    };
    return h("tr", { class: [trials.state[i], selected ? "selected" : ""].join(" ").trim(), onclick }, h("td", {}, pick), cells);
  }

  const states = [["", "all states"], ...[...new Set(trials.state)].sort().map((each) => [each, each])];
  const search = h("input", { type: "search", oninput: () => { wanted = search.value.toLowerCase(); page = 0; draw(); } });
  const controls = [
    select("state", states, state, (value) => { state = value; page = 0; draw(); }),
    h("label", {}, h("span", {}, "containing"), search),
  ];
  view.onshow(draw);
  view.onselect(draw);
  return card(
    "trials", "Trials", { controls },
    h("div", { class: "scroll" }, h("table", {}, h("thead", {}, head), body)),
    h("nav", { "aria-label": "pages of trials" }, previous, next, place),
  );
}
