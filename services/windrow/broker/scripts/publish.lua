-- Accept a task call: the message to its list (or the delayed set), its event to the stream.
-- KEYS: 1 list, 2 events, 3 queues, 4 delayed, 5 delayed messages, 6 the old attempt's in-flight set (or 5 again),
--       7 what its parent has published already (or 5 again), 8 refused (both may be left out
--       when nothing is replaced and nobody owes it)
-- ARGV: 1 queue, or '' when this producer has told it a moment ago, 2 message,
--       3 events, 4 due in ms or '', 5 head of the stored form, 6 delivery tag,
--       7 tag of the attempt that this message takes the place of, or '', 8 '1' if the message may be kept on record,
--       9 the name under which its parent publishes it once, or '' (or left out), 10 for how many seconds
-- Answers: 1 published; 0 dropped, the attempt whose place it takes was given to another worker; 2 it was published before.
-- A full Redis refuses the first write that needs memory, so a new task as a whole. What an attempt owes passes: it begins with
-- a write that needs none.
local once = ARGV[9] or ''
if once ~= '' then redis.call('SREM', KEYS[7], '') elseif ARGV[7] ~= '' then redis.call('HDEL', KEYS[6], '') end
if ARGV[7] ~= '' then
  local old = redis.call('HGET', KEYS[6], ARGV[7])
  if not old then return 0 end
  if old ~= '~' then
    redis.call('HSET', KEYS[6], ARGV[7], '~')
  elseif once == '' then
    redis.call('HINCRBY', KEYS[8], 'published_again', 1)
    return 2
  end
end
if once ~= '' then
  if redis.call('SADD', KEYS[7], once) == 0 then
    redis.call('HINCRBY', KEYS[8], 'published_again', 1)
    return 2
  end
  redis.call('EXPIRE', KEYS[7], ARGV[10])
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
