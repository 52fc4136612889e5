-- A worker says that it is here (at its start, or back after losing its connection) and reads what it has in flight.
-- KEYS: 1 epochs, 2 gone, 3 workers, 4 in-flight set
-- ARGV: 1 worker, 2 epoch, 3 info
-- Answers {0} when it was declared dead, else {1, tag, value, ...}.
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return {0} end
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
local answer = redis.call('HGETALL', KEYS[4])
table.insert(answer, 1, 1)
return answer
