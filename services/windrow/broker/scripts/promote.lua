-- Move due messages of a queue from the delayed set to its lists.
-- KEYS: 1 delayed, 2 delayed messages; ARGV: 1 now in ms, 2 at most, 3 the key prefix
local moved = 0
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  local value = redis.call('HGET', KEYS[2], tag)
  redis.call('ZREM', KEYS[1], tag)
  redis.call('HDEL', KEYS[2], tag)
  if value then
    local head = string.find(value, '\n', 1, true)
    local step = string.sub(value, 1, 1)
    redis.call('LPUSH', ARGV[3] .. string.sub(value, 2, head - 1) .. (step == '0' and '' or '\6\22' .. step),
      string.sub(value, head + 1))
    moved = moved + 1
  end
end
return moved
