-- The lease: a worker says that it is alive.
-- KEYS: 1 epochs, 2 beats, 3 gone, 4 the leading server's address, 5 events, 6 most entries, 7 behind, 8 no logs
-- ARGV: 1 worker, 2 beat
-- Answers {0 when the worker was declared dead, 2 when it is not registered (yet, or any more), else 1, the address or ''}.
local server = redis.call('GET', KEYS[4]) or ''
if redis.call('ZSCORE', KEYS[3], ARGV[1]) then return {0, server} end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return {2, server} end
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
-- `sync` must not look at the stream's length itself: on its connection that would be tracked, and each event would wake every worker.
local length = redis.call('XLEN', KEYS[5])
if length > 5 then
  local most = tonumber(redis.call('GET', KEYS[6]) or '1000000')
  if length > most / 20 then redis.call('SET', KEYS[8], length, 'PX', 5000) end
  if length > most then redis.call('SET', KEYS[7], length, 'PX', 5000) end
end
-- Each worker looks at the memory now and then, since that takes longer; a user of few rights may not, and a service may hide it.
if tonumber(string.match(ARGV[2], '"n":(%d+)') or '1') % 5 == 0 then
  local info = redis.pcall('INFO', 'memory')
  if type(info) == 'string' then
    local used, most = tonumber(string.match(info, 'used_memory:(%d+)')), tonumber(string.match(info, 'maxmemory:(%d+)'))
    if used and most and most > 0 and used > 0.9 * most then redis.call('SET', KEYS[8], length, 'PX', 8000) end
  end
end
return {1, server}
