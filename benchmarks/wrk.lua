-- Sends one request again and again; prints what `benchmarks.load` documents, as JSON.
-- Arguments: the HTTP method; the body; how many requests to send (0: as many as there is time for);
-- a file for the bodies of 201 answers ("": none).

local ffi = require("ffi")
ffi.cdef([[
  typedef struct { long seconds; long microseconds; } moment;
  int gettimeofday(moment *now, void *zone);
  int getpid(void);
  int kill(int pid, int number);
]])

local SIGINT, NEVER_MS = 2, 1e9
local threads = {}
local moment = ffi.new("moment")
local limit, answered, kept

local function now_s()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.seconds) + tonumber(moment.microseconds) / 1e6
end

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  wrk.method = arguments[1]
  if arguments[2] ~= "" then
    wrk.body = arguments[2]
    wrk.headers["Content-Type"] = "application/json"
  end
  limit, answered = tonumber(arguments[3]), 0
  if arguments[4] ~= "" then
    kept = io.open(arguments[4], "w")
  end
  statuses, reasons, moments = {}, {}, {}
  if limit > 0 then
    local sent = 0
    function delay() -- asked before each request
      if sent >= limit then
        return NEVER_MS
      end
      sent = sent + 1
      moments.first_sent_s = moments.first_sent_s or now_s()
      return 0
    end
  end
end

function response(status, _, body)
  local key = "s" .. status -- a thread's table is read with names for keys
  statuses[key] = (statuses[key] or 0) + 1
  if status == 201 then
    if limit > 0 then
      moments.last_created_s = now_s()
    end
    if kept then
      kept:write(body, "\n")
    end
  elseif status >= 400 then
    local reason = body:match('"reason": ?"([A-Z_]+)"') or "NONE"
    reasons[reason] = (reasons[reason] or 0) + 1
    if reason == "SOLD_OUT" and not moments.first_sold_out_s then
      moments.first_sold_out_s = now_s()
    end
  end
  answered = answered + 1
  if answered == limit then
    ffi.C.kill(ffi.C.getpid(), SIGINT) -- wrk would sleep until its time is over
  end
end

local function members(name, skipped, form)
  local found = {}
  for _, thread in ipairs(threads) do
    for key, value in pairs(thread:get(name)) do
      table.insert(found, string.format('"%s": ' .. form, key:sub(skipped + 1), value))
    end
  end
  return "{" .. table.concat(found, ", ") .. "}"
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "duration_s": %.6f, "statuses": %s, "reasons": %s, "moments": %s, "lost": %d, "p50_ms": %.3f, "p99_ms": %.3f}\n',
    summary.requests,
    summary.duration / 1e6,
    members("statuses", 1, "%d"),
    members("reasons", 0, "%d"),
    members("moments", 0, "%.6f"),
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, -- 0 when nothing was answered
    latency:percentile(99) / 1000
  ))
end
