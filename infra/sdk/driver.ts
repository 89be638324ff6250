// Calls what openapi-generator generated: reads the number of a call in each line, and prints its answer.
import { callsOf } from "./calls.js";
import { type ApiResponse, Configuration, ResponseError } from "./generated/index.js";

declare const process: { argv: string[]; stdin: AsyncIterable<Uint8Array> };

const calls = callsOf(new Configuration({ basePath: process.argv[2]! }));

async function answered(call: () => Promise<ApiResponse<unknown>>): Promise<Response> {
  try {
    const response = await call();
    const sent = response.raw.clone();
    await response.value(); // throws if the client can't make its types of it
    return sent;
  } catch (error) {
    if (error instanceof ResponseError) return error.response;
    throw error;
  }
}

async function said(call: () => Promise<ApiResponse<unknown>>): Promise<object> {
  try {
    const response = await answered(call);
    const text = await response.text();
    const isJson = response.headers.get("Content-Type")?.includes("json");
    return { status: response.status, body: isJson ? JSON.parse(text) : text };
  } catch (error) {
    return { failure: String(error) };
  }
}

async function* lines(): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of process.stdin) {
    const [last = "", ...whole] = (rest + decoder.decode(chunk, { stream: true })).split("\n").reverse();
    rest = last;
    yield* whole.reverse();
  }
}

for await (const line of lines()) console.log(JSON.stringify(await said(calls[Number(line)]!)));
