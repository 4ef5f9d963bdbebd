-- Requests with ids that never repeat. Arguments: the first id, 'check' or 'count', the body with a
-- place for the id, and how the result begins. 'check' looks at every answer, which slows wrk down;
-- 'count' leaves it to wrk to count statuses and bytes.

local place = '999999999'
local before, after, id, begin
local threads = {}
wrong, sample = 0, ''

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  id = tonumber(args[1])
  wrk.method = 'POST'
  wrk.body = args[3]
  begin = args[4]
  local whole = wrk.format()
  local at = whole:find(place, 1, true)
  before, after = whole:sub(1, at - 1), whole:sub(at + #place)
  if args[2] == 'check' then response = check end
end

function request()
  id = id + 1
  return before .. id .. after
end

function check(status, headers, body)
  local result = body:find(begin, 1, true)
  local own = body:find('"id":%d%d%d%d%d%d%d%d%d[,}]')
  if status == 200 and result and own then return end
  wrong = wrong + 1
  sample = status .. ' ' .. body:sub(1, 300)
end

function done(summary, latency)
  local wrongs, one = 0, ''
  for _, thread in ipairs(threads) do
    wrongs = wrongs + thread:get('wrong')
    if thread:get('sample') ~= '' then one = thread:get('sample') end
  end
  local errors = summary.errors
  print(string.format(
    '{"calls":%d,"duration":%d,"bytes":%d,"p50":%d,"p99":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"wrong":%d}',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status, wrongs))
  print(one)
end
