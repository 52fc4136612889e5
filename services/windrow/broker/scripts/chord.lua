-- Begin or end a chord's run.
-- KEYS: Celery's own for a chord's group: 1 parts, 2 how many were added, 3 size, 4 who has been counted, 5 done, 6 its run, 7 the group,
-- and 8 events, or 7 again when the records are on another Redis
-- ARGV: 1 the event without its run and last brace, or '', then
--       'size', run, size, seconds to live or 0 – begins, unless it is the same run's repetition: then only the size is set
--       'done', seconds, owner – its body was published in that name: the parts go; 'failed', seconds, owner – the size goes alone
redis.call('SREM', KEYS[4], '') -- after a write that needs no memory Redis lets the others pass though it is full
local event = ARGV[1]
if ARGV[2] == 'size' then
  if redis.call('GET', KEYS[6]) ~= ARGV[3] then redis.call('DEL', KEYS[5]) end
  if redis.call('GET', KEYS[5]) == 'done' then return end
  for key, value in pairs({[KEYS[6]] = ARGV[3], [KEYS[3]] = ARGV[4]}) do
    redis.call('SET', key, value)
    if ARGV[5] ~= '0' then redis.call('EXPIRE', key, ARGV[5]) end
  end
  local header = redis.call('GET', KEYS[7]) -- there when groups stand in it
  if event ~= '' and header then event = event .. ',"header":' .. cjson.encode(header) end
else
  if ARGV[2] == 'done' then redis.call('DEL', KEYS[1], KEYS[2], KEYS[4]) end
  redis.call('DEL', KEYS[3])
  redis.call('SET', KEYS[5], 'done', 'EX', ARGV[3])
  redis.call('EXPIRE', KEYS[6], ARGV[3])
  if event ~= '' then redis.call('EXPIRE', string.sub(KEYS[8], 1, -#'events' - 1) .. 'sent:' .. ARGV[4], ARGV[3]) end
end
if event ~= '' then
  redis.call('XADD', KEYS[8], '*', 'v', '1', 'e', '[' .. event .. ',"run":"' .. (redis.call('GET', KEYS[6]) or '') .. '"}]')
end
