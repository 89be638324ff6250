-- Asks for the paths of a file in turn, over and over, and says what came as a line of JSON.
--
-- A template: ${paths} is the file, ${addresses} has {"host", "port"} for each thread.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
  local address = (${addresses})[#threads]
  thread.addr = wrk.lookup(address[1], address[2])[1]
  thread:set("number", #threads)
end

function init()
  asked = {}
  for path in io.lines(${paths}) do
    asked[#asked + 1] = wrk.format("GET", path)
  end
  count = #asked
  at = (number - 1) * 7919 % count -- threads begin at different places
end

function request()
  at = at % count + 1
  return asked[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"records":%d,"seconds":%f,"p50_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
