-- Take a delayed message out for good. KEYS: 1 delayed, 2 delayed messages, 3 events; ARGV: 1 tag, 2 event
if redis.call('ZREM', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('XADD', KEYS[3], '*', 'v', '1', 'e', '[' .. ARGV[2] .. ']')
return 1
