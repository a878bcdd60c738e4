// Elements are made here and nowhere else: text goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that start with "on" are listeners, null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

/** A panel with a heading, a line below it, and controls at its right. */
export function card(name, title, { subtitle = null, controls = [] } = {}, ...body) {
  const id = `title-${name}`;
  return h(
    "section", { class: `card ${name}`, "aria-labelledby": id },
    h("header", {}, h("div", {}, h("h2", { id }, title), subtitle), h("div", { class: "controls" }, controls)),
    body,
  );
}

/** A labelled select; `options` are pairs of value and text. */
export function select(label, options, value, onchange) {
  const list = h("select", { onchange: () => onchange(list.value) }, options.map(([each, text]) => h("option", { value: each }, text)));
  list.value = value;
  return h("label", {}, h("span", {}, label), list);
}
