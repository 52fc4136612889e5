-- Take waiting messages out for good, each with its final event.
-- KEYS: 1 events, 2 recoveries, 3 held, 4 spent, then a list, or by queue the delayed set and its messages
-- ARGV: 1 now in s, 2 reason, 3 how: 'list' (the oldest of the list, at most one for each id that follows), 'apart' (the same of a list of
--       stored messages), 'any' (delayed ones by name) or 'own' (the same, if its execution is the one with this id), 4 the list's queue
--       or '', then name and id for each. The id is for a message that has none; the name is '' for a list.
-- Answers the messages: of a list as they were, else in their stored form.
--#include ids
local events, out = {}, {}
local function ended(message, queue, spare)
  local ok, read = pcall(cjson.decode, message)
  local headers = ok and type(read) == 'table' and type(read.headers) == 'table' and read.headers or {}
  local own = type(headers.windrow) == 'table' and headers.windrow.id
  local known = type(own) == 'string'
  if ARGV[3] == 'own' and own ~= spare then return false end
  if known then redis.call('HDEL', KEYS[2], own) end
  local delivery, id = ids_of(message)
  if delivery ~= '' then redis.call('SADD', KEYS[4], delivery) end
  if id ~= '' and redis.call('HGET', KEYS[3], id) == delivery then redis.call('HDEL', KEYS[3], id) end
  local more = known and '' or string.format(',"task_id":%s,"task":%s',
    cjson.encode(tostring(headers.id or spare)), cjson.encode(tostring(headers.task or '')))
  events[#events + 1] = string.format(
    '{"k":"ended","id":%s,"t":%s,"attempt":null,"outcome":null,"state":"cancelled","queue":%s,"reason":%s%s}',
    cjson.encode(known and own or spare), ARGV[1], cjson.encode(queue), cjson.encode(ARGV[2]), more)
  return true
end

if ARGV[3] == 'list' or ARGV[3] == 'apart' then
  out = redis.call('RPOP', KEYS[5], (#ARGV - 4) / 2) or {}
  for n, value in ipairs(out) do
    ended(ARGV[3] == 'list' and value or string.sub(value, string.find(value, '\n', 1, true) + 1), ARGV[4], ARGV[4 + 2 * n])
  end
else
  for at = 5, #ARGV, 2 do
    for key = 5, #KEYS, 2 do
      local value = redis.call('HGET', KEYS[key + 1], ARGV[at])
      if value then
        local head = string.find(value, '\n', 1, true)
        if ended(string.sub(value, head + 1), string.sub(value, 2, head - 1), ARGV[at + 1]) then
          redis.call('ZREM', KEYS[key], ARGV[at])
          redis.call('HDEL', KEYS[key + 1], ARGV[at])
          out[#out + 1] = value
        end
      end
    end
  end
end
if #events > 0 then
  redis.call('XADD', KEYS[1], '*', 'v', '1', 'e', '[' .. table.concat(events, ',') .. ']')
end
return out
