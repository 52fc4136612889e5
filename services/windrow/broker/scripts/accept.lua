-- Included where a script says `--#include accept`, after `ids`: accepts one task call. `publish.lua` says what the keys and
-- arguments are, and the answer.
local function accept(KEYS, ARGV)
  local once, replaces = ARGV[10] or '', ARGV[7]
  local length = redis.call('XLEN', KEYS[2])
  local owed = once ~= '' or replaces ~= ''
  if length > 200 and not owed and (ARGV[9] or '') == '' and length > 2 * tonumber(redis.call('GET', KEYS[7]) or '1000000') then
    return -length
  end
  if owed then redis.call('PERSIST', KEYS[2]) end -- changes nothing; after a write of the same script a full Redis refuses no other
  if replaces ~= '' then
    local old = redis.call('HGET', KEYS[6], replaces)
    if not old then return 0 end
    if old ~= '~' then
      redis.call('HSET', KEYS[6], replaces, '~')
      -- The old message must never run again, and no longer holds its task id: this one will.
      local all = string.sub(KEYS[3], 1, -#'queues' - 1)
      local delivery, id = ids_of(old)
      if delivery ~= '' then redis.call('SADD', all .. 'spent', delivery) end
      if id ~= '' and redis.call('HGET', all .. 'held', id) == delivery then redis.call('HDEL', all .. 'held', id) end
    elseif once == '' then
      redis.call('HINCRBY', KEYS[9], 'published_again', 1)
      return 2
    end
  end
  if once ~= '' then
    if redis.call('SADD', KEYS[8], once) == 0 then
      redis.call('HINCRBY', KEYS[9], 'published_again', 1)
      return 2
    end
    redis.call('EXPIRE', KEYS[8], ARGV[11])
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
end
