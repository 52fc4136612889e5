-- An event that is no start and no end of an execution, left out while the records are too far behind.
-- KEYS: 1 events, 2 most entries; ARGV: 1 event
if redis.call('XLEN', KEYS[1]) > tonumber(redis.call('GET', KEYS[2]) or '1000000') then return 0 end
redis.call('XADD', KEYS[1], '*', 'v', '1', 'e', '[' .. ARGV[1] .. ']')
return 1
