-- Begin or end a chord's run.
-- KEYS: Celery's own for a chord's group: 1 parts, 2 how many were added, 3 size, 4 who has been counted, 5 done, and 6 its run
-- ARGV: 'size', run, size, seconds to live or 0 – begins, unless it is the same run's repetition: then only the size is set
--       'done', seconds – its body was published: the parts go; 'failed', seconds – the size goes alone
redis.call('SREM', KEYS[4], '') -- after a write that needs no memory Redis lets the others pass though it is full
if ARGV[1] == 'size' then
  if redis.call('GET', KEYS[6]) ~= ARGV[2] then redis.call('DEL', KEYS[5]) end
  if redis.call('GET', KEYS[5]) == 'done' then return end
  for key, value in pairs({[KEYS[6]] = ARGV[2], [KEYS[3]] = ARGV[3]}) do
    redis.call('SET', key, value)
    if ARGV[4] ~= '0' then redis.call('EXPIRE', key, ARGV[4]) end
  end
else
  if ARGV[1] == 'done' then redis.call('DEL', KEYS[1], KEYS[2], KEYS[4]) end
  redis.call('DEL', KEYS[3])
  redis.call('SET', KEYS[5], 'done', 'EX', ARGV[2])
  redis.call('EXPIRE', KEYS[6], ARGV[2])
end
