-- Put back a message that Redis has lost, or end its execution when the message was not kept.
-- KEYS: 1 leader, 2 settling, 3 events, 4 queues, 5 list, 6 delayed, 7 delayed messages, 8 held, 9 spent, 10 spent before
-- ARGV: 1 the leading server's token, 2 event, 3 queue, 4 message, or '' to put only the event on the stream, 5 due in ms or '',
--       6 head of the stored form, 7 task id, 8 delivery tag
-- Answers 1 when it is done, 0 when the message is in flight or has ended after all, -1 when another server leads or the workers
-- still put back what they hold.
redis.call('PERSIST', KEYS[4]) -- changes nothing; after a write of the same script a full Redis refuses no other
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('EXISTS', KEYS[2]) == 1 then return -1 end
if redis.call('HGET', KEYS[8], ARGV[7]) == ARGV[8] then return 0 end
if redis.call('SISMEMBER', KEYS[9], ARGV[8]) + redis.call('SISMEMBER', KEYS[10], ARGV[8]) > 0 then return 0 end
if ARGV[4] ~= '' then
  if ARGV[5] ~= '' then
    local name, value = ARGV[7], ARGV[6] .. ARGV[4]
    local there = redis.call('HGET', KEYS[7], name)
    if there == value then return 0 end
    if there then name = name .. '\n' .. ARGV[8] end
    redis.call('HSET', KEYS[7], name, value)
    redis.call('ZADD', KEYS[6], ARGV[5], name)
  else
    redis.call('LPUSH', KEYS[5], ARGV[4])
  end
  redis.call('SADD', KEYS[4], ARGV[3])
end
redis.call('XADD', KEYS[3], '*', 'v', '1', 'e', '[' .. ARGV[2] .. ']')
return 1
