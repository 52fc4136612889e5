-- Put back a chord that Redis has lost: its size and the parts that are on record. One whose parts are all there then has nobody
-- who would publish its body: what does that, a call of Celery's `celery.chord_unlock`, is accepted in the same step.
-- KEYS: 1 leader, 2 settling, Celery's own for the group: 3 parts, 4 how many were added, 5 size, 6 who has been counted, 7 done,
--       8 its run, 9 the group, then those of `publish`
-- ARGV: 1 the leading server's token, 2 run, 3 size, 4 seconds to live or 0, 5 the header's shape or '', 6 how many parts,
--       7 the event that it has ended, then for each part who, place, '1' to keep the header's order, the part; then those of `publish`
-- Answers 1 when it was put back, 2 when its body will be published, 0 when it is there or has ended, -1 when another server leads.
--#include ids
--#include accept
redis.call('SREM', KEYS[6], '') -- after a write that needs no memory Redis lets the others pass though it is full
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
if redis.call('EXISTS', KEYS[5], KEYS[7]) > 0 then return 0 end
for name, value in pairs({[KEYS[5]] = ARGV[3], [KEYS[8]] = ARGV[2], [KEYS[9]] = ARGV[5]}) do
  if value ~= '' then redis.call('SET', name, value) end
end
local at, count = 8, 0
for _ = 1, tonumber(ARGV[6]) do
  if redis.call('SADD', KEYS[6], ARGV[at]) == 1 then
    if ARGV[at + 2] == '1' then redis.call('ZADD', KEYS[3], ARGV[at + 1], ARGV[at + 3]) else redis.call('RPUSH', KEYS[3], ARGV[at + 3]) end
  end
  at = at + 4
end
if ARGV[4] ~= '0' then
  for _, n in ipairs({3, 5, 6, 8, 9}) do redis.call('EXPIRE', KEYS[n], ARGV[4]) end
end
if redis.call('SCARD', KEYS[6]) < tonumber(ARGV[3]) then return 1 end
redis.call('DEL', KEYS[3], KEYS[5], KEYS[6])
redis.call('SET', KEYS[7], 'done', 'EX', 300)
redis.call('XADD', KEYS[11], '*', 'v', '1', 'e', '[' .. ARGV[7] .. ']')
accept({unpack(KEYS, 10)}, {unpack(ARGV, at)})
return 2
