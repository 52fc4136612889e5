-- Store a result and tell who waits for it, though Redis is full. KEYS: 1 result; ARGV: 1 value, 2 seconds to live or 0
redis.call('DEL', KEYS[1]) -- after a write that needs no memory Redis lets the others pass
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.call('PUBLISH', KEYS[1], ARGV[1])
