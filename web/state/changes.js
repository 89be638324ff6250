// Changes of a list of recommendations.

/** @typedef {{ readonly instrument_id: number }} Item */
/**
 * @typedef {object} Changes
 * @property {ReadonlyMap<number, number | "new">} moved by instrument: the number of places it rose, negative if it fell
 * @property {readonly number[]} gone instruments, in the order of their former places
 */

/**
 * @param {readonly Item[]} before
 * @param {readonly Item[]} after
 * @returns {Changes}
 */
export function changesOf(before, after) {
  const former = new Map(before.map(({ instrument_id }, place) => [instrument_id, place]));
  const present = new Set(after.map(({ instrument_id }) => instrument_id));
  /** @type {Map<number, number | "new">} */
  const moved = new Map();
  for (const [place, { instrument_id }] of after.entries()) {
    const was = former.get(instrument_id);
    if (was === undefined) moved.set(instrument_id, "new");
    else if (was !== place) moved.set(instrument_id, was - place);
  }
  return { moved, gone: [...former.keys()].filter((id) => !present.has(id)) };
}

/** @param {Changes} changes @returns {boolean} */
export const anyOf = ({ moved, gone }) => moved.size + gone.length > 0;

/** @param {Changes} changes @returns {string} such as 2 new, 2 gone, 1 moved */
export function summaryOf({ moved, gone }) {
  const fresh = [...moved.values()].filter((by) => by === "new").length;
  const counts = { new: fresh, gone: gone.length, moved: moved.size - fresh };
  return Object.entries(counts)
    .filter(([, n]) => n > 0)
    .map(([what, n]) => `${n} ${what}`)
    .join(", ");
}

/** @param {number | "new" | undefined} by @returns {string} how a row says that it moved; empty if it did not */
export function mark(by) {
  if (by === undefined) return "";
  if (by === "new") return "new";
  return by > 0 ? `▲ ${by}` : `▼ ${-by}`;
}
