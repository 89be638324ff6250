// Parses server-sent events from chunks of text, by the HTML standard (9.2.6).

/** @typedef {{ readonly event: string, readonly data: string }} ServerSent */

/** @returns {(piece: string) => ServerSent[]} takes the next chunk, and returns the events that it completes */
export function createParser() {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.flatMap(eventOf);
  };
}

/** @param {string} block @returns {ServerSent[]} none if it has no data: a comment, or `retry` alone */
function eventOf(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") event = value ?? "";
    else if (field === "data") data.push(value ?? "");
  }
  return data.length > 0 ? [{ event, data: data.join("\n") }] : [];
}
