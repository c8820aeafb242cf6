-- Sends one request again and again; prints what `benchmarks.load.requests` documents, as JSON.
-- Arguments: the HTTP method, and the body.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  wrk.method = arguments[1]
  if arguments[2] ~= "" then
    wrk.body = arguments[2]
    wrk.headers["Content-Type"] = "application/json"
  end
  statuses = {}
end

function response(status)
  local key = "s" .. status -- a thread's table is read with names for keys
  statuses[key] = (statuses[key] or 0) + 1
end

function done(summary, latency)
  local counts = {}
  for _, thread in ipairs(threads) do
    for key, count in pairs(thread:get("statuses")) do
      table.insert(counts, string.format('"%s": %d', key:sub(2), count))
    end
  end
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "duration_s": %.6f, "statuses": {%s}, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests,
    summary.duration / 1e6,
    table.concat(counts, ", "),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, -- 0 when nothing was answered
    latency:percentile(99) / 1000
  ))
end
