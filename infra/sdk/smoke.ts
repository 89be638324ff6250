// The smoke of the client that openapi-generator makes: main reads, writes, an error.
import {
  Configuration,
  EventsApi,
  InstrumentsApi,
  RecommendationsApi,
  ResponseError,
  UsersApi,
} from "./generated/index.js";

declare const process: { argv: string[]; exitCode: number };

const [url, instrumentId, userId] = process.argv.slice(2) as [string, string, string];
const instrument = Number(instrumentId);
const config = new Configuration({ basePath: url });
const instruments = new InstrumentsApi(config);
const users = new UsersApi(config);
const events = new EventsApi(config);
const now = Date.now();

async function failure(asked: Promise<unknown>): Promise<{ type?: string }> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof ResponseError) return error.response.json();
    throw error;
  }
  return {};
}

const checks: Record<string, () => Promise<boolean>> = {
  instrumentBars: async () => (await instruments.instrumentBars({ instrument })).bars.length > 0,
  bars: async () =>
    instrumentId in (await instruments.bars({ instruments: [instrument], limit: 2 })).bars,
  latestQuotes: async () =>
    (await instruments.latestQuotes({ instruments: [instrument] })).quotes[instrumentId]!.price > 0,
  instruments: async () => (await instruments.instruments({ n: 3 })).items.length === 3,
  marketMovers: async () => (await instruments.marketMovers()).window === "1h",
  similarInstruments: async () =>
    (await instruments.similarInstruments({ instrument })).items.length > 0,
  trendingInstruments: async () =>
    (await new RecommendationsApi(config).trendingInstruments()).items.length >= 0,
  userRecommendations: async () =>
    (await users.userRecommendations({ userId, n: 3 })).items.length === 3,
  userHistory: async () => (await users.userHistory({ userId })).userId === userId,
  putInstrument: async () => {
    const instrumentDescription = { symbol: "SDK2", name: "Made by a generated client" };
    const put = await instruments.putInstrument({ instrument: 1_000_002, instrumentDescription });
    return put.instrumentId === 1_000_002;
  },
  publishEvents: async () => {
    const event = [{ type: "quote" as const, instrumentId: 1_000_002, price: 2.5, ts: now }];
    const request = { event, idempotencyKey: `sdk-ts-${now}` };
    const first = await events.publishEvents(request);
    const again = await events.publishEventsRaw(request);
    return first.quotes === 1 && again.raw.headers.get("Idempotent-Replayed") === "true";
  },
  "a problem": async () =>
    (await failure(users.userHistory({ userId: "nobody" }))).type ===
    "urn:tickrec:problem:unknown-user",
};

for (const [name, check] of Object.entries(checks)) {
  const succeeded = await check();
  console.log(succeeded ? "✓" : "✗", name);
  if (!succeeded) process.exitCode = 1;
}
