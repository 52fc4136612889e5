-- Accept a task call: the message to its list (or the delayed set), its event to the stream.
-- KEYS: 1 list, 2 events, 3 queues, 4 delayed, 5 delayed messages, 6 the old attempt's in-flight set (or 5 again)
-- ARGV: 1 queue, or '' when this producer has told it a moment ago, 2 message,
--       3 event, 4 due in ms or '', 5 head of the stored form, 6 delivery tag,
--       7 tag of the attempt that this message takes the place of, or '', 8 '1' if the message may be kept on record
--#include ids
if ARGV[7] ~= '' then
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
  redis.call('HSET', KEYS[5], ARGV[6], ARGV[5] .. ARGV[2])
  redis.call('ZADD', KEYS[4], ARGV[4], ARGV[6])
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
