-- Give back what a dead worker had in flight.
-- KEYS: 1 epochs, 2 beats, 3 workers, 4 drain, 5 in-flight set, 6 started set, 7 gone, 8 events, 9 recoveries, 10 exited,
--       11 held, 12 spent, 13 untold
-- ARGV: 1 worker, 2 now in ms, 3 the key prefix, 4 most recoveries
-- Answers {given back, lost}.
--#include ids
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
local worker, now = ARGV[1], tonumber(ARGV[2])
redis.call('ZADD', KEYS[7], now, worker)
local tags, inflight = {}, {}
local all = redis.call('HGETALL', KEYS[5])
for n = 1, #all, 2 do
  tags[#tags + 1] = all[n]
  inflight[all[n]] = all[n + 1]
end
-- What was taken last goes back first, so that the oldest is taken next.
table.sort(tags, function(a, b) return tonumber(a) > tonumber(b) end)
local back, lost = 0, 0
for _, tag in ipairs(tags) do
  local value = inflight[tag]
  local text = redis.call('HGET', KEYS[6], tag)
  local info = text and cjson.decode(text) or nil
  local event = nil
  if value == '~' then
    if info then
      event = '"outcome":"retried","state":null,"recoveries":null'
    end
  else
    local count, ended = 0, nil
    local delivery, id = ids_of(value)
    if id ~= '' and redis.call('HGET', KEYS[11], id) == delivery then redis.call('HDEL', KEYS[11], id) end
    if info then
      count = redis.call('HINCRBY', KEYS[9], info.id, 1)
      if info.early then
        ended = 'acknowledged early, and its worker died'
      elseif count > tonumber(ARGV[4]) then
        ended = 'its worker died ' .. count .. ' times'
      end
    end
    if ended then
      lost = lost + 1
      redis.call('HDEL', KEYS[9], info.id)
      if delivery ~= '' then redis.call('SADD', KEYS[12], delivery) end
      redis.call('HSET', KEYS[13], info.id, ended .. '\n' .. value)
      event = '"outcome":"killed","state":"lost","reason":"' .. ended .. '","recoveries":' .. count
    else
      back = back + 1
      local head = string.find(value, '\n', 1, true)
      local step = string.sub(value, 1, 1)
      local queue = string.sub(value, 2, head - 1)
      if count > 1 then -- from its second recovery it runs alone
        redis.call('RPUSH', ARGV[3] .. 'windrow:quarantine:' .. queue, value)
      else
        redis.call('RPUSH', ARGV[3] .. queue .. (step == '0' and '' or '\6\22' .. step), string.sub(value, head + 1))
      end
      if info then event = '"outcome":"killed","state":"ready","reason":"its worker died","recoveries":' .. count end
    end
  end
  if event then
    redis.call('XADD', KEYS[8], '*', 'v', '1', 'e', string.format(
      '[{"k":"recovered","id":%s,"t":%s,"attempt":%s,"queue":%s,"task":%s,"worker":%s,"started":%s,%s}]',
      cjson.encode(info.id), ARGV[2] / 1000, cjson.encode(info.attempt), cjson.encode(info.queue),
      cjson.encode(info.task), cjson.encode(worker), info.t, event))
  end
end
for n = 1, 4 do redis.call('HDEL', KEYS[n], worker) end
redis.call('DEL', KEYS[5], KEYS[6])
redis.call('SREM', KEYS[10], worker)
return {back, lost}
