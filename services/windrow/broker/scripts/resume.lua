-- A worker says that it is here (at its start, or back after losing its connection) and reads what it has in flight.
-- KEYS: 1 epochs, 2 gone, 3 workers, 4 in-flight set, 5 run, 6 settling
-- ARGV: 1 worker, 2 epoch, 3 info; of a connection that will take: 4 which run of Redis this is, 5 for how long nobody takes
--       anything when data was lost, ms, 6 '1' when this worker was here before
-- Answers {0} when it was declared dead, else {1 or, while what was lost is put back, 2, tag, value, ...}.
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then return {0} end
if ARGV[4] then
  -- Started again, or emptied: what Redis knows may be less than what its workers hold.
  local run = redis.call('GET', KEYS[5])
  local emptied = ARGV[6] == '1' and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0
  if run ~= ARGV[4] then redis.call('SET', KEYS[5], ARGV[4]) end
  if emptied or run and run ~= ARGV[4] then redis.call('SET', KEYS[6], '1', 'PX', ARGV[5]) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
local answer = redis.call('HGETALL', KEYS[4])
table.insert(answer, 1, ARGV[4] and redis.call('EXISTS', KEYS[6]) == 1 and 2 or 1)
return answer
