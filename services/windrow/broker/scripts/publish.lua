-- Accept a task call: the message to its list (or the delayed set), its event to the stream.
-- KEYS: 1 list, 2 events, 3 queues, 4 delayed, 5 delayed messages, 6 the old attempt's in-flight set (or 5 again),
--       7 most entries of the stream
-- ARGV: 1 queue, or '' when this producer has told it a moment ago, 2 message,
--       3 event, 4 due in ms or '', 5 head of the stored form, 6 task id, line end, delivery tag,
--       7 tag of the attempt that this message takes the place of, or '', 8 '1' if the message may be kept on record,
--       9 given when it belongs to what had been accepted: it is not refused though the records are behind
-- Answers 1; 0 when the attempt had been given to another worker; the stream's length, negative, when it is too long for a new task.
--#include ids
local length = redis.call('XLEN', KEYS[2])
if length > 200 and ARGV[7] == '' and not ARGV[9] and length > 2 * tonumber(redis.call('GET', KEYS[7]) or '1000000') then
  return -length
end
if ARGV[7] ~= '' then
  redis.call('PERSIST', KEYS[2]) -- changes nothing; after a write of the same script a full Redis refuses no other
  local old = redis.call('HGET', KEYS[6], ARGV[7])
  if not old or old == '~' then return 0 end
  redis.call('HSET', KEYS[6], ARGV[7], '~')
  -- The old message must never run again, and no longer holds its task id: this one will.
  local all = string.sub(KEYS[3], 1, -#'queues' - 1)
  local delivery, id = ids_of(old)
  if delivery ~= '' then redis.call('SADD', all .. 'spent', delivery) end
  if id ~= '' and redis.call('HGET', all .. 'held', id) == delivery then redis.call('HDEL', all .. 'held', id) end
end
if ARGV[4] ~= '' then
  local name = string.match(ARGV[6], '^[^\n]*')
  if redis.call('HEXISTS', KEYS[5], name) == 1 then name = ARGV[6] end
  redis.call('HSET', KEYS[5], name, ARGV[5] .. ARGV[2])
  redis.call('ZADD', KEYS[4], ARGV[4], name)
else
  redis.call('LPUSH', KEYS[1], ARGV[2])
end
if ARGV[1] ~= '' then redis.call('SADD', KEYS[3], ARGV[1]) end
if ARGV[8] == '1' then
  redis.call('XADD', KEYS[2], '*', 'v', '1', 'e', '[' .. ARGV[3] .. ']', 'm', ARGV[2])
else
  redis.call('XADD', KEYS[2], '*', 'v', '1', 'e', '[' .. ARGV[3] .. ']')
end
return 1
