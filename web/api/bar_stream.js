// The stream of bars, reopened whenever it ends, while the page is visible.
//
// It uses `fetch` rather than `EventSource`, which cannot detect that a server has gone silent, or
// why it rejects a stream.

import { noteAnswer, noteFailure } from "../state/connection.js";
import { isPassing, pauseAfter, untilVisible } from "./requests.js";
import { Problem, Unreachable, sent } from "./client.js";
import { parsed } from "./json.js";

/** @typedef {import("../state/bars.js").Bar & { instrument_id: number }} LiveBar */
/**
 * @typedef {object} Listener
 * @property {(bars: LiveBar[]) => void} onBars
 * @property {() => void} onLive the newest bars are complete
 * @property {(problem: Problem) => void} onProblem the API rejects the stream: it is not reopened
 */

/** @typedef {{ readonly event: string, readonly data: string }} ServerSent */

/** The server sends something every 15 s. */
const SILENCE_MS = 35_000;
const QUESTION = "stream";
/** What has no next attempt: the stream is open or given up. */
const NEVER = { cutOff: false, againMs: null };

/**
 * @param {readonly number[]} instruments at least one, at most 500
 * @param {Listener} listener
 * @returns {() => void} ends it
 */
export function openBarStream(instruments, listener) {
  const closing = new AbortController();
  follow(instruments.join(","), listener, closing.signal).catch((error) => {
    if (closing.signal.aborted) return;
    if (!(error instanceof Problem)) {
      noteFailure(QUESTION, { ...NEVER, reason: "The stream of bars failed, which is a bug" });
      throw error;
    }
    noteAnswer(QUESTION);
    listener.onProblem(error);
  });
  return () => {
    closing.abort();
    noteAnswer(QUESTION);
  };
}

/** @param {string} instruments @param {Listener} listener @param {AbortSignal} signal */
async function follow(instruments, listener, signal) {
  /** @type {Progress} */
  const progress = { tries: 0 };
  for (;;) {
    await untilVisible(signal);
    const hidden = whenHidden(signal);
    try {
      await readOnce(instruments, listener, progress, hidden.signal);
    } catch (error) {
      if (signal.aborted) throw error;
      if (!hidden.signal.aborted) {
        if (!isPassing(error)) throw error;
        await pauseAfter(QUESTION, error, progress.tries, signal);
        progress.tries += 1;
      }
    } finally {
      hidden.forget();
    }
  }
}

/** @typedef {{ tries: number }} Progress the failures since the last `live` */

/**
 * @param {string} instruments
 * @param {Listener} listener
 * @param {Progress} progress
 * @param {AbortSignal} signal
 */
async function readOnce(instruments, listener, progress, signal) {
  const silence = new AbortController();
  const limit = () => setTimeout(() => silence.abort(), SILENCE_MS);
  let timer = limit();
  try {
    const answer = await sent("/v1/stream/bars", {
      query: { instruments },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    const parse = createParser();
    const body = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (answer.body);
    const pieces = body.pipeThrough(new TextDecoderStream()).getReader();
    for (let next = await pieces.read(); !next.done; next = await pieces.read()) {
      clearTimeout(timer);
      timer = limit();
      passOn(parse(next.value), listener, progress);
    }
  } catch (error) {
    if (signal.aborted || !isBroken(error)) throw error;
  } finally {
    clearTimeout(timer);
    silence.abort(); // closes the connection if it is still open
  }
  throw new Unreachable("The stream of bars ended");
}

/** @param {unknown} error @returns {boolean} whether a connection broke or was aborted */
function isBroken(error) {
  return error instanceof TypeError || (error instanceof Error && error.name === "AbortError");
}

/** @param {ServerSent[]} events @param {Listener} listener @param {Progress} progress */
function passOn(events, listener, progress) {
  /** @type {LiveBar[]} */
  const bars = events.filter(({ event }) => event === "bar").map(({ data }) => parsed(data));
  if (bars.length > 0) listener.onBars(bars);
  for (const { event } of events) {
    if (event === "live") {
      progress.tries = 0;
      noteAnswer(QUESTION);
      listener.onLive();
    } else if (event === "stale") {
      noteFailure(QUESTION, { ...NEVER, reason: "Redis is away: bars may be missing" });
    }
  }
}

/**
 * @param {AbortSignal} signal
 * @returns {{ signal: AbortSignal, forget: () => void }} also aborts when the page is hidden
 */
function whenHidden(signal) {
  const hidden = new AbortController();
  const look = () => document.hidden && hidden.abort();
  document.addEventListener("visibilitychange", look);
  return {
    signal: AbortSignal.any([signal, hidden.signal]),
    forget: () => document.removeEventListener("visibilitychange", look),
  };
}

/**
 * Parses server-sent events from chunks of text, by the HTML standard (9.2.6).
 *
 * @returns {(piece: string) => ServerSent[]} takes the next chunk, and returns the events that it completes
 */
function createParser() {
  let rest = "";
  return (piece) => {
    const blocks = (rest + piece).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop() ?? "";
    return blocks.flatMap(eventIn);
  };
}

/** @param {string} block @returns {ServerSent[]} none if it has no data: a comment, or `retry` alone */
function eventIn(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? [];
    if (field === "event") event = value ?? "";
    else if (field === "data") data.push(value ?? "");
  }
  return data.length > 0 ? [{ event, data: data.join("\n") }] : [];
}
