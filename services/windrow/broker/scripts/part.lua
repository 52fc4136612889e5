-- Count a chord's part, once, whatever its repetitions return.
-- KEYS: Celery's own for a chord's group: 1 parts, 2 how many were added, 3 size, 4 who has been counted, 5 the group, 6 done, 7 its run
-- ARGV: 1 who (task id and place), 2 the part, 3 '1' to keep the header's order, 4 place, 5 seconds to live or 0,
--       6 seconds for the group or 0
-- Answers {} when its body has been published or was never to be, else {parts, run or ''}, and when it is
-- complete {parts, run or '', all parts, 1 when its group was saved}.
redis.call('SREM', KEYS[4], '') -- after a write that needs no memory Redis lets the others pass though it is full
if redis.call('GET', KEYS[6]) == 'done' then return {} end
if redis.call('SADD', KEYS[4], ARGV[1]) == 1 then
  if ARGV[3] == '1' then redis.call('ZADD', KEYS[1], ARGV[4], ARGV[2]) else redis.call('RPUSH', KEYS[1], ARGV[2]) end
end
if ARGV[5] ~= '0' then
  for n = 1, 4 do redis.call('EXPIRE', KEYS[n], ARGV[5]) end
  if ARGV[6] ~= '0' then redis.call('EXPIRE', KEYS[5], ARGV[6]) end
end
local parts = redis.call(ARGV[3] == '1' and 'ZCARD' or 'LLEN', KEYS[1])
local size, run = redis.call('GET', KEYS[3]), redis.call('GET', KEYS[7]) or ''
if not size or parts ~= size + (redis.call('GET', KEYS[2]) or 0) then return {parts, run} end
return {parts, run, redis.call(ARGV[3] == '1' and 'ZRANGE' or 'LRANGE', KEYS[1], 0, -1),
  redis.call('EXISTS', KEYS[5])}
