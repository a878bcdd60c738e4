"use strict";
// What the page computes from the trials. Nothing in this file touches the document.

/** The trials that were better than all before them, by position; null is no score. */
function improvements(scores) {
  const found = [];
  let best = -Infinity;
  scores.forEach((score, i) => {
    if (score !== null && score > best) {
      best = score;
      found.push(i);
    }
  });
  return found;
}

/** The positions that no other one beats in both, in the order of x; `lower` says where lower is better. */
function paretoFront(xs, ys, lower) {
  const [x, y] = [xs, ys].map((values, axis) => values.map((v) => (v === null || !lower[axis] ? v : -v)));
  const order = x.map((_, i) => i).filter((i) => x[i] !== null && y[i] !== null);
  order.sort((i, j) => (x[i] < x[j]) - (x[i] > x[j]) || (y[i] < y[j]) - (y[i] > y[j]) || i - j);
  const front = [];
  for (const i of order) {
    const last = front.at(-1);
    if (last === undefined || y[i] > y[last] || (y[i] === y[last] && x[i] === x[last])) front.push(i);
  }
  return front.sort((i, j) => (xs[i] > xs[j]) - (xs[i] < xs[j]) || i - j);
}

/** The range to draw: all that `keep` names, and the others as far as they aren't far off the middle half. */
function domain(values, keep = []) {
  const sorted = values.filter((v) => v !== null).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const quarter = (share) => sorted[Math.floor(share * (sorted.length - 1))];
  const reach = 3 * (quarter(0.75) - quarter(0.25)) || Infinity;
  const usual = sorted.filter((v) => v >= quarter(0.25) - reach && v <= quarter(0.75) + reach);
  const ends = [usual[0], usual.at(-1), ...keep.filter((v) => v !== null)];
  const [low, high] = [extreme(ends, Math.min), extreme(ends, Math.max)];
  if (low < high) return [low, high];
  const room = Math.abs(low) * 0.05 || 0.5;
  return [low - room, high + room];
}

/** The smallest or largest of any number of values; a spread call is limited. */
function extreme(values, smaller) {
  return values.reduce((one, other) => smaller(one, other));
}

/** Round numbers inside a range, about `count` of them. */
function ticks(low, high, count) {
  const raw = (high - low) / count;
  if (!Number.isFinite(raw) || raw <= 0) return [low, high];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw * 0.999);
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9 && found.length <= 2 * count; n += 1) {
    found.push(n * step);
  }
  return found;
}

const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];

/** The ticks as text, all with the same unit and the decimals that tell them apart. */
function tickLabels(values) {
  const largest = extreme([0, ...values].map(Math.abs), Math.max);
  if (largest >= 1e16 || (largest > 0 && largest < 1e-4)) return values.map((v) => v.toExponential(1));
  const [unit, suffix] = UNITS.find(([size]) => largest >= 10 * size) ?? [1, ""];
  const step = values.length > 1 ? (values[1] - values[0]) / unit : 1;
  const decimals = Math.min(8, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  return values.map((v) => minus((v / unit + 0).toFixed(decimals).replace(/^-(0\.?0*)$/, "$1")) + suffix);
}

/** A number to read, of about five digits. */
function readable(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e16 || (size > 0 && size < 1e-4)) return minus(value.toExponential(2));
  const [unit, suffix] = UNITS.find(([least]) => size >= (least === 1e3 ? 1e5 : least)) ?? [1, ""];
  return minus(String(Number((value / unit).toPrecision(5)))) + suffix;
}

function minus(text) {
  return text.replace("-", "−");
}

/** A candidate as people read it; the inputs of an InputChoice may have no name. */
function candidateName(choice, index) {
  return choice.candidates[index] || `input ${index}`;
}

/** A decision as text: a candidate's name, several of them, or that there is none. */
function decisionText(choice, decision) {
  if (decision === null || decision === undefined) return "–";
  const chosen = [decision].flat();
  return chosen.length ? chosen.map((index) => candidateName(choice, index)).join(", ") : "none";
}

/** A decision in the form that an architecture file has. */
function decisionJson(choice, decision) {
  const named = choice.candidates.every((name) => name) && new Set(choice.candidates).size === choice.candidates.length;
  return Array.isArray(decision) ? decision.map((i) => (named ? choice.candidates[i] : i)) : named ? choice.candidates[decision] : decision;
}

/**
 * For each part of the conditions of a graph whether it holds; null where that depends on a choice that plays no role.
 * `decisions` has one decision for each choice.
 */
function partValues(parts, decisions) {
  const values = [];
  for (const [operator, ...operands] of parts) {
    const terms = operands.map((place) => values[place]);
    if (operator === "chosen" || operator === "present") {
      const decision = decisions[operands[0]];
      const chosen = [decision].flat();
      values.push(decision === null ? null : operator === "present" ? chosen.length > 0 : chosen.includes(operands[1]));
    } else if (operator === "not") {
      values.push(terms[0] === null ? null : !terms[0]);
    } else {
      const decisive = operator === "any";
      values.push(terms.includes(decisive) ? decisive : terms.includes(null) ? null : !decisive);
    }
  }
  return values;
}

/** The positions of the best tenth of the scored trials, at least one. */
function bestTenth(scores) {
  const scored = scores.map((_, i) => i).filter((i) => scores[i] !== null);
  scored.sort((i, j) => scores[j] - scores[i] || i - j);
  return new Set(scored.slice(0, Math.ceil(scored.length / 10)));
}

/**
 * For each candidate of a choice, and last for no candidate at all: how many trials took it, their mean and best score,
 * and which share of the best tenth they are.
 */
function candidateScores(choice, decisions, scores, tenth) {
  const rows = [...choice.candidates.map((_, index) => index), null].map((index) => ({ index, n: 0, mean: null, best: null, share: 0 }));
  let ofTenth = 0;
  decisions.forEach((decision, i) => {
    if (decision === null || scores[i] === null) return;
    const chosen = [decision].flat();
    ofTenth += tenth.has(i);
    for (const index of chosen.length ? chosen : [rows.length - 1]) {
      const row = rows[index];
      row.n += 1;
      row.mean = (row.mean ?? 0) + (scores[i] - (row.mean ?? 0)) / row.n;
      row.best = row.best === null ? scores[i] : Math.max(row.best, scores[i]);
      row.share += tenth.has(i);
    }
  });
  for (const row of rows) row.share = ofTenth ? row.share / ofTenth : null;
  return rows.at(-1).n ? rows : rows.slice(0, -1);
}
