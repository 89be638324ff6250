-- Asks for the paths in a file in turn, over and over, and reports the answers as a line of JSON.

function init(args)
  asked = {}
  for path in io.lines(args[1]) do
    asked[#asked + 1] = wrk.format("GET", path)
  end
  at = 0
end

function request()
  at = at % #asked + 1
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
