-- What queues hold and who works on them, all at one moment. It writes nothing; a queue that holds nothing and has no settings is
-- left out of the answer, so a thousand idle ones cost next to nothing.
-- KEYS: 1 workers, 2 beats, 3 drain
-- ARGV: 1 the key prefix, 2 until when what is delayed is due soon, in ms, then the queues' names
-- Answers {workers, beats and drain as HGETALL gives them, {worker, how many it has in flight, and so on},
--   {a queue's place among the names, ready by step (0, 3, 6, 9), what is taken next by step, delayed, due soon, in quarantine,
--    paused, paused by, pinned, rate, burst} for each queue that is not left out}
-- What is taken next: 't' and when it was accepted, where its header says so; else 'u' and the end of it; nil where nothing is.
local prefix, soon = ARGV[1], ARGV[2]
local workers = redis.call('HGETALL', KEYS[1])
local held, found = {}, {}
for i = 1, #workers, 2 do
  held[i] = workers[i]
  held[i + 1] = redis.call('HLEN', prefix .. 'windrow:inflight:' .. workers[i])
end
local function head_of(list)
  local message = redis.call('LINDEX', list, -1)
  if not message then return false end
  local at = string.find(message, '"windrow":', 1, true)
  while at do
    local stamp = string.match(message, '^"windrow": ?{[^{}]*"t": ?([%d.]+)', at)
    if stamp then return 't' .. stamp end
    at = string.find(message, '"windrow":', at + 1, true)
  end
  return 'u' .. string.sub(message, -200)
end
for i = 3, #ARGV do
  local list = prefix .. ARGV[i]
  local low, middle, high = list .. '\6\0223', list .. '\6\0226', list .. '\6\0229'
  local delayed = prefix .. 'windrow:delayed:' .. ARGV[i]
  local apart = prefix .. 'windrow:quarantine:' .. ARGV[i]
  local settings = prefix .. 'windrow:queue:' .. ARGV[i]
  if redis.call('EXISTS', list, low, middle, high, delayed, apart, settings) > 0 then
    local one = {i - 2}
    for at, step in ipairs({list, low, middle, high}) do
      one[at + 1] = redis.call('LLEN', step)
      one[at + 5] = head_of(step)
    end
    one[10], one[11] = redis.call('ZCARD', delayed), redis.call('ZCOUNT', delayed, '-inf', soon)
    one[12] = redis.call('LLEN', apart)
    local set = redis.call('HMGET', settings, 'paused', 'paused_by', 'pinned', 'rate', 'burst')
    for at = 1, 5 do one[at + 12] = set[at] end
    found[#found + 1] = one
  end
end
return {workers, redis.call('HGETALL', KEYS[2]), redis.call('HGETALL', KEYS[3]), held, found}
