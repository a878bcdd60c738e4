// What the page computes from the trials. Nothing in this file touches the document.

import { ascending, descending, extent, max, mean, nice, quantileSorted, range, rollup, sum } from "d3-array";
import { format } from "d3-format";

/** The positions at which all columns have a value. */
export function known(...columns) {
  return range(columns[0].length).filter((i) => columns.every((values) => values[i] !== null));
}

/** The trials that were better than all before them, by position; null is no score. */
export function improvements(scores) {
  const found = [];
  for (const i of known(scores)) if (!found.length || scores[i] > scores[found.at(-1)]) found.push(i);
  return found;
}

/** The positions that no other one beats in both, in the order of x; `lower` says where lower is better. */
export function paretoFront(xs, ys, lower) {
  const [x, y] = lower.map((each) => (each ? ascending : descending));
  const front = [];
  for (const i of known(xs, ys).sort((i, j) => x(xs[i], xs[j]) || y(ys[i], ys[j]) || i - j)) {
    const last = front.at(-1);
    const order = last === undefined ? -1 : y(ys[i], ys[last]);
    if (order < 0 || (order === 0 && xs[i] === xs[last])) front.push(i);
  }
  return front.sort((i, j) => ascending(xs[i], xs[j]) || i - j);
}

const FARTHEST = Number.MAX_VALUE / 8;

/** The values there are, none so large that the width of a range of them is infinite. */
export function drawable(values) {
  return values.filter((v) => v !== null).map((v) => Math.max(-FARTHEST, Math.min(v, FARTHEST)));
}

/** The range to draw, with round ends: all that `keep` names, and the others if they aren't far off the middle half. */
export function domain(values, keep = []) {
  const sorted = drawable(values).sort(ascending);
  if (!sorted.length) return [0, 1];
  const [lower, upper] = [0.25, 0.75].map((share) => quantileSorted(sorted, share));
  const reach = 3 * (upper - lower) || Infinity;
  const usual = sorted.filter((v) => v >= lower - reach && v <= upper + reach);
  const [low, high] = extent([...usual, ...drawable(keep)]);
  const room = low < high ? 0 : Math.abs(low) * 0.05 || 0.5;
  return nice(low - room, high + room, 5);
}

/** How to write the ticks of a scale: all with the same unit and the decimals that tell them apart. */
export function tickFormat(scale, count) {
  const largest = max(scale.domain(), Math.abs);
  return scale.tickFormat(count, largest >= 1e16 || largest < 1e-4 ? "e" : largest >= 1e4 ? "s" : "f");
}

const [plain, units, power] = [".5~r", ".5~s", ".2e"].map(format);

/** A number to read, of about five digits. */
export function readable(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size >= 1e16 || (size > 0 && size < 1e-4)) return power(value);
  return size >= 1e5 ? units(value) : plain(value);
}

/** A candidate as people read it; the inputs of an InputChoice may have no name. */
export function candidateName(choice, index) {
  return choice.candidates[index] || `input ${index}`;
}

/** A decision as text: a candidate's name, several of them, or that there is none. */
export function decisionText(choice, decision) {
  if (decision === null || decision === undefined) return "–";
  const chosen = [decision].flat();
  return chosen.length ? chosen.map((index) => candidateName(choice, index)).join(", ") : "none";
}

/** A decision in the form that an architecture file has. */
export function decisionJson(choice, decision) {
  const named = choice.candidates.every((name) => name) && new Set(choice.candidates).size === choice.candidates.length;
  return Array.isArray(decision) ? decision.map((i) => (named ? choice.candidates[i] : i)) : named ? choice.candidates[decision] : decision;
}

/**
 * For each part of the conditions of a graph whether it holds; null where that depends on a choice that plays no role.
 * `decisions` has one decision for each choice.
 */
export function partValues(parts, decisions) {
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
export function bestTenth(scores) {
  const scored = known(scores).sort((i, j) => descending(scores[i], scores[j]) || i - j);
  return new Set(scored.slice(0, Math.ceil(scored.length / 10)));
}

/**
 * For each candidate of a choice, and last for no candidate at all: how many trials took it, their mean and best score,
 * and which share of the best tenth they are.
 */
export function candidateScores(choice, decisions, scores, tenth) {
  const counted = known(decisions, scores);
  const ofTenth = sum(counted, (i) => tenth.has(i));
  const taken = counted.flatMap((i) => {
    const chosen = [decisions[i]].flat();
    return (chosen.length ? chosen : [null]).map((index) => ({ index, score: scores[i], top: tenth.has(i) }));
  });
  const told = (those) => ({
    n: those.length,
    mean: mean(those, ({ score }) => score) ?? null,
    best: max(those, ({ score }) => score) ?? null,
    share: ofTenth ? sum(those, ({ top }) => top) / ofTenth : null,
  });
  const found = rollup(taken, told, ({ index }) => index);
  const rows = [...choice.candidates.keys(), ...(found.has(null) ? [null] : [])];
  return rows.map((index) => ({ index, ...(found.get(index) ?? told([])) }));
}
