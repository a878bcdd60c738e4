// The graph of the selected trial: all of it, what runs in full, and what runs because it was chosen in the accent's
// colour. Boxes stay where they are from one trial to the next, so that only what differs changes.

import { curveBumpY, line } from "d3-shape";
import { decisionText, partValues } from "./core.js";
import { card, h, s } from "./elements.js";

const BOX = { width: 132, height: 30, column: 150, row: 54, margin: 12 };
const wire = line().curve(curveBumpY).digits(1);

export function graph(view) {
  const { graph: net, trials, choices, best } = view.data;
  const subtitle = h("p");
  const host = h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "The graph; scroll for the rest" });
  // A part that says "always": such boxes run whatever is chosen.
  const always = new Set(net.parts.flatMap(([operator, ...terms], place) => (operator === "all" && !terms.length ? [place] : [])));

  function draw() {
    const i = view.selected;
    host.replaceChildren();
    if (i === null) {
      subtitle.textContent = "no trial has a score yet";
      return;
    }
    const decisions = trials.decisions.map((column) => column[i]);
    const runs = partValues(net.parts, decisions);
    const state = ({ when }) => (runs[when] !== true ? "out" : always.has(when) ? "always" : "picked");
    const running = net.nodes.filter((node) => state(node) !== "out").length;
    const whose = i === best ? `of the best trial, ${trials.number[i]}` : `of trial ${trials.number[i]}`;
    subtitle.textContent = `${whose}: ${running} of ${net.nodes.length} steps run; what was chosen is blue, what wasn't is pale`;
    const [width, height] = [net.width * BOX.column + 2 * BOX.margin, net.rows * BOX.row + 2 * BOX.margin];
    const edges = net.edges.map((edge) => [state(edge), edge]);
    const nodes = net.nodes.map((node) => [state(node), node]);
    host.append(
      s(
        "svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `Graph ${subtitle.textContent}` },
        ["out", "always", "picked"].map((kind) => s("path", { class: `wire ${kind}`, d: edges.filter(([each]) => each === kind).map(([, edge]) => curve(edge)).join("") })),
        nodes.map(([kind, node]) => box(node, kind, decisions)),
      ),
    );
  }

  function middle({ x, row }, down = 0) {
    return [x * BOX.column + BOX.margin, row * BOX.row + BOX.row / 2 + BOX.margin + down];
  }

  /** From the lower side of one box past the rows between to the upper side of the other. */
  function curve({ from, to, bends }) {
    const [source, target] = [net.nodes[from], net.nodes[to]];
    const [above, below] = [-BOX.height / 2, BOX.height / 2];
    const between = bends.map((x, n) => ({ x, row: source.row + 1 + n }));
    const sides = [[source, below], ...between.flatMap((bend) => [[bend, above], [bend, below]]), [target, above]];
    return wire(sides.map(([at, side]) => middle(at, side)));
  }

  function box(node, kind, decisions) {
    const [x, y] = middle(node);
    const text = words(node, decisions);
    return s(
      "g", { class: `box ${node.kind} ${kind}` },
      s("title", {}, [node.label, node.detail].filter(Boolean).join(", ")),
      s("rect", { x: x - BOX.width / 2, y: y - BOX.height / 2, width: BOX.width, height: BOX.height, rx: node.kind === "choice" ? BOX.height / 2 : 5 }),
      text.map((each, n) => s("text", { x, y: y + (text.length === 1 ? 4 : n ? 10 : -2), class: n ? "small" : null }, each)),
    );
  }

  function words(node, decisions) {
    if (node.kind !== "choice") return [short(node.label), node.detail].filter(Boolean).map(short);
    const number = choices.findIndex(({ key }) => key === node.label);
    return number < 0 ? [short(node.label)] : [short(node.label), short(decisionText(choices[number], decisions[number]))];
  }

  /** The end of a path tells more than its start. */
  function short(text) {
    const letters = [...text];
    return letters.length <= 20 ? text : `…${letters.slice(-19).join("")}`;
  }

  view.onshow(draw);
  view.onselect(draw);
  return card("graph", "Graph", { subtitle }, host);
}
