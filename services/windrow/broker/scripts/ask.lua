-- Asks workers to drain, all in one step: each change of these requests wakes every worker once.
-- KEYS: 1 drain; ARGV: workers. One that was asked before, or has drained, stays as it is.
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
for _, worker in ipairs(ARGV) do redis.call('HSETNX', KEYS[1], worker, 'asked') end
return 1
