-- For wrk: a hundred requests a second by each connection, and a count of the answers that are not right.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init()
  wrong = 0
end

function delay()
  return 10
end

function response(status, _, body)
  if not is_right(status, body) then
    wrong = wrong + 1
  end
end

function done(summary, latency)
  local wrong = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong")
  end
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  print(string.format("told %d %d %d", summary.requests, lost + wrong, latency:percentile(99)))
end
