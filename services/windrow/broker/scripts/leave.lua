-- A worker with nothing in flight says goodbye.
-- KEYS: 1 epochs, 2 beats, 3 workers, 4 drain, 5 in-flight set, 6 started set; ARGV: 1 worker
-- Answers how much it still had in flight; then nothing is removed and recovery gives it back.
local left = redis.call('HLEN', KEYS[5])
if left > 0 then return left end
for n = 1, 4 do redis.call('HDEL', KEYS[n], ARGV[1]) end
redis.call('DEL', KEYS[6])
return 0
