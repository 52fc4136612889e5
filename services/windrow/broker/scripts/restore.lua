-- A worker puts back what it holds and Redis has lost. Only while nobody takes anything (settling).
-- KEYS: 1 epochs, 2 in-flight set, 3 held, 4 spent, 5 spent before, 6 settling
-- ARGV: 1 worker, 2 epoch, then tag and stored message of each
-- Answers the tags that are in flight again; {} when the time for it is over, or another connection speaks for this worker.
--#include ids
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
local back = {}
if redis.call('EXISTS', KEYS[6]) == 0 or redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return back end
for i = 3, #ARGV, 2 do
  local delivery, id = ids_of(ARGV[i + 1])
  local holder = id ~= '' and redis.call('HGET', KEYS[3], id)
  local over = delivery ~= '' and (redis.call('SISMEMBER', KEYS[4], delivery) + redis.call('SISMEMBER', KEYS[5], delivery)) > 0
  if not over and (not holder or holder == delivery) then
    redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1])
    if id ~= '' then redis.call('HSET', KEYS[3], id, delivery) end
    back[#back + 1] = ARGV[i]
  end
end
return back
