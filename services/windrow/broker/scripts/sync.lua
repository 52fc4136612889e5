-- A worker's one call: what it finished, put back and started goes out, what it may start next comes in.
-- KEYS: 1 epochs, 2 in-flight set, 3 started set, 4 events, 5 drain, 6 queue settings, 7 delayed, 8 delayed messages,
--       9 revoked version, 10 recoveries, 11 rate state, 12-15 the queue's lists by priority step, 16 idle workers,
--       17 listener, 18 held, 19 spent, 20 spent before, 21 settling, 22 quarantine, 23 who makes room for it
-- ARGV: 1 worker, 2 epoch, 3 now in ms, 4 queue, 5 how many to take, -1 when nothing is asked, 6 first tag to give,
--       7 the key prefix, 8 how it hears: '' not at all, 'b' by its bell, 'i' the same and it is among the idle workers, 'm' it is
--       the queue's listener, 'r' its bell was rung or a list that it had read has changed, 'x' no more;
--       after the letter how many slots are free: no more is taken while others are idle,
--       then operations, each a letter and its fields:
--       F tag event id delivery task follows  finished: out of flight, the event to the stream; its delivery tag and task id, ''
--                             when they are to be looked up; '' when nothing follows its end
--       X tag event id delivery task follows  finished before Redis lost data: the same, wherever its message is now
--       P tag due name event  parked until due; the name is a task id, a line end, and what tells it from others with this id
--       G tag event           given back to the tail of its list
--       K tag id max back lost  its process died: given back and counted, or lost past max; both events lack their last brace
--       R tag value           the message with its header filled in
--       S tag info            its body has started
--       E event               an event
-- Answers: {0} when this worker is not known (any more), else
--   {1, refused tags, taken values, drain state, revoked version or '', next look in ms or -1, 1 when the rate limit said no,
--    {tag, recoveries, lost 0 or 1} for each K, what it is now: 0, 1 the queue's listener, 2 among its idle workers,
--    3 its listener, and it has rung idle ones for what waits; -1 when nothing was asked,
--    which of the taken have the task id of another one in flight, by their place,
--    1 when what was taken must run alone, 2 when nothing may be taken until this worker is empty,
--    how many exact copies of what is in flight or has ended were thrown away, how many might be taken}
--#include ids
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
local worker, now = ARGV[1], tonumber(ARGV[3])
if redis.call('HGET', KEYS[1], worker) ~= ARGV[2] then return {0} end
local steps = {['0'] = 12, ['3'] = 13, ['6'] = 14, ['9'] = 15}
local events, refused, killed, ended, final = {}, {}, {}, {}, {}
local left, held_by, spent, owed = {}, {}, {}, {}

local function list_of(value)
  local head = string.find(value, '\n', 1, true)
  local queue = string.sub(value, 2, head - 1)
  local step = string.sub(value, 1, 1)
  local message = string.sub(value, head + 1)
  if queue == ARGV[4] then return KEYS[steps[step]], message end
  return ARGV[7] .. queue .. (step == '0' and '' or '\6\22' .. step), message
end
local function leaves(delivery, id, for_good)
  if id ~= '' then
    left[#left + 1] = id
    held_by[#left] = delivery
  end
  if for_good and delivery ~= '' then spent[#spent + 1] = delivery end
end
local function out(tag)
  local value = redis.call('HGET', KEYS[2], tag)
  if value then
    if value ~= '~' then leaves(ids_of(value)) end
    redis.call('HDEL', KEYS[2], tag)
    redis.call('HDEL', KEYS[3], tag)
  else
    refused[#refused + 1] = tag
  end
  return value
end

local i = 9
while ARGV[i] do
  local op, tag = ARGV[i], ARGV[i + 1]
  if op == 'F' then
    local delivery, id = ARGV[i + 4], ARGV[i + 5]
    if delivery == '' then
      local value = redis.call('HGET', KEYS[2], tag)
      if value and value ~= '~' then delivery, id = ids_of(value) end
    end
    if redis.call('HDEL', KEYS[2], tag) == 1 then
      ended[#ended + 1] = tag
      leaves(delivery, id, true)
      if ARGV[i + 3] ~= '' then
        final[#final + 1] = ARGV[i + 3]
        if ARGV[i + 6] ~= '' then owed[#owed + 1] = ARGV[7] .. 'windrow:sent:' .. ARGV[i + 3] end
      end
      if ARGV[i + 2] ~= '' then events[#events + 1] = ARGV[i + 2] end
    else
      refused[#refused + 1] = tag
      local execution = string.match(ARGV[i + 2], '"id":"([^"]+)"')
      if execution then
        events[#events + 1] = '{"k":"refused","id":"' .. execution .. '","what":"finish","of":' .. ARGV[i + 2] .. '}'
      end
    end
    i = i + 7
  elseif op == 'X' then
    local delivery = ARGV[i + 4]
    if delivery ~= '' and redis.call('SISMEMBER', KEYS[19], delivery) + redis.call('SISMEMBER', KEYS[20], delivery) == 0 then
      if redis.call('HEXISTS', KEYS[2], tag) == 1 then out(tag) end
      spent[#spent + 1] = delivery
      events[#events + 1] = ARGV[i + 2]
    end
    i = i + 7
  elseif op == 'E' then
    events[#events + 1] = tag
    i = i + 2
  elseif op == 'S' then
    if redis.call('HEXISTS', KEYS[2], tag) == 1 then redis.call('HSET', KEYS[3], tag, ARGV[i + 2]) end
    i = i + 3
  elseif op == 'R' then
    if redis.call('HEXISTS', KEYS[2], tag) == 1 then redis.call('HSET', KEYS[2], tag, ARGV[i + 2]) end
    i = i + 3
  elseif op == 'P' then
    local value = out(tag)
    if value and value ~= '~' then
      local name = string.match(ARGV[i + 3], '^[^\n]*')
      if redis.call('HEXISTS', KEYS[8], name) == 1 then name = ARGV[i + 3] end
      redis.call('HSET', KEYS[8], name, value)
      redis.call('ZADD', KEYS[7], ARGV[i + 2], name)
      events[#events + 1] = ARGV[i + 4]
    end
    i = i + 5
  elseif op == 'G' then
    local value = out(tag)
    if value and value ~= '~' then
      local list, message = list_of(value)
      redis.call('RPUSH', list, message)
      if ARGV[i + 2] ~= '' then events[#events + 1] = ARGV[i + 2] end
    end
    i = i + 3
  elseif op == 'K' then
    local value = out(tag)
    if value and value ~= '~' then
      local count = redis.call('HINCRBY', KEYS[10], ARGV[i + 2], 1)
      local lost = count > tonumber(ARGV[i + 3])
      if lost then
        redis.call('HDEL', KEYS[10], ARGV[i + 2])
        spent[#spent + 1] = ids_of(value)
      elseif count > 1 then
        redis.call('RPUSH', KEYS[22], value)
      else
        local list, message = list_of(value)
        redis.call('RPUSH', list, message)
      end
      events[#events + 1] = (lost and ARGV[i + 5] or ARGV[i + 4]) .. ',"recoveries":' .. count .. '}'
      killed[#killed + 1] = {tag, count, lost and 1 or 0}
    elseif value then -- it had handed its message on: only the attempt's end is told; of two equal fields the last counts
      events[#events + 1] = ARGV[i + 4] .. ',"outcome":"retried","state":null}'
    end
    i = i + 6
  else
    return redis.error_reply('windrow sync: unknown operation ' .. op)
  end
end
for from = 1, #ended, 1000 do redis.call('HDEL', KEYS[3], unpack(ended, from, math.min(from + 999, #ended))) end
for from = 1, #final, 1000 do
  local to = math.min(from + 999, #final)
  redis.call('HDEL', KEYS[10], unpack(final, from, to))
end
for _, published in ipairs(owed) do redis.call('EXPIRE', published, 300) end -- a try of before may still be on its way
for from = 1, #spent, 1000 do redis.call('SADD', KEYS[19], unpack(spent, from, math.min(from + 999, #spent))) end
for from = 1, #left, 1000 do
  -- What its successor holds (a retry, a replacement) stays held.
  local free = {}
  for at, holder in ipairs(redis.call('HMGET', KEYS[18], unpack(left, from, math.min(from + 999, #left)))) do
    if holder == held_by[from + at - 1] then free[#free + 1] = left[from + at - 1] end
  end
  if #free > 0 then redis.call('HDEL', KEYS[18], unpack(free)) end
end
if #events > 0 and redis.call('GETEX', ARGV[7] .. 'windrow:events:behind') then
  local kept, detail = {}, {started = true, progress = true, moved = true}
  for _, event in ipairs(events) do
    if not detail[string.match(event, '^{"k":"(%a+)"')] then kept[#kept + 1] = event end
  end
  events = kept
end
if #events > 0 and redis.call('GETEX', ARGV[7] .. 'windrow:events:no_logs') then
  for at, event in ipairs(events) do
    -- A quote inside a text has a backslash before it, so this is a field; the text ends at the first quote that has none.
    local from, to = string.find(event, ',"log":"', 1, true)
    if from then
      while true do
        to = string.find(event, '["\\]', to + 1)
        if string.byte(event, to) == 34 then break end
        to = to + 1
      end
      events[at] = string.sub(event, 1, from) .. '"log":false' .. string.sub(event, to + 1)
    end
  end
end
if #events > 0 then
  redis.call('XADD', KEYS[4], '*', 'v', '1', 'e', '[' .. table.concat(events, ',') .. ']')
end

local told = #events
local taken, wanted, next_look, limited, is = {}, tonumber(ARGV[5]), -1, 0, 0
local hears, slots = string.sub(ARGV[8], 1, 1), tonumber(string.sub(ARGV[8], 2))
if wanted < 0 then return {1, refused, taken, '', '', -1, 0, killed, -1, {}, 0, 0, 0} end
local was_idle = hears == 'i'
local function no_longer_idle()
  if was_idle then redis.call('SREM', KEYS[16], worker) end
end
local settings = redis.call('HMGET', KEYS[6], 'paused', 'rate', 'burst')
local drain = redis.call('HGET', KEYS[5], worker) or ''
if drain == 'asked' and redis.call('HLEN', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[5], worker, 'drained')
  drain = 'drained'
end
local said = redis.call('MGET', KEYS[9], KEYS[21])
local version = said[1] or '0'
-- GETEX counts as a write: who reads the listener so is not woken when it changes.
local listener = hears == 'm' and redis.call('GETEX', KEYS[17], 'PX', 2500) or hears ~= 'm' and redis.call('GETEX', KEYS[17])
local mine = listener == worker
if settings[1] == '1' or drain ~= '' or hears == 'x' then
  if mine then redis.call('DEL', KEYS[17]) end
  if hears ~= '' then redis.call('SREM', KEYS[16], worker) end
  return {1, refused, taken, drain, version, -1, 0, killed, 0, {}, 0, 0, 0}
end
if said[2] then -- Redis has lost data: first all workers say what they hold
  no_longer_idle()
  return {1, refused, taken, drain, version, math.max(redis.call('PTTL', KEYS[21]), 1), 0, killed, 0, {}, 0, 0, 0}
end

-- Due messages are the listener's part; without one it is whoever looks.
if mine or not listener then
  local due = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  if due[2] and tonumber(due[2]) <= now then
    for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now, 'LIMIT', 0, 100)) do
      local value = redis.call('HGET', KEYS[8], tag)
      redis.call('ZREM', KEYS[7], tag)
      redis.call('HDEL', KEYS[8], tag)
      if value then
        local list, message = list_of(value)
        redis.call('LPUSH', list, message)
      end
    end
    due = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  end
  if due[2] then next_look = math.max(1, tonumber(due[2]) - now) end
end
-- A message in quarantine runs alone: in a worker that has nothing, or in one that lets what it has come to an end.
local double, alone, copies = {}, 0, 0
if redis.call('LLEN', KEYS[22]) > 0 and wanted >= 0 then
  if redis.call('HLEN', KEYS[2]) == 0 then
    local value = redis.call('RPOP', KEYS[22])
    local delivery, id = ids_of(value)
    redis.call('HSET', KEYS[2], ARGV[6], value)
    if id ~= '' then redis.call('HSET', KEYS[18], id, delivery) end
    if redis.call('GETEX', KEYS[23]) == worker then redis.call('DEL', KEYS[23]) end
    taken[1], wanted, alone = value, 0, 1
  elseif redis.call('SET', KEYS[23], worker, 'NX', 'PX', 5000) or redis.call('GETEX', KEYS[23]) == worker then
    redis.call('PEXPIRE', KEYS[23], 5000)
    wanted, alone = 0, 2
  end
  if alone > 0 then
    if mine then redis.call('DEL', KEYS[17]) end -- another one listens meanwhile
    if hears ~= '' then redis.call('SREM', KEYS[16], worker) end
    return {1, refused, taken, drain, version, -1, 0, killed, 0, double, alone, copies, 0}
  end
end
-- Nothing is taken ahead of idle workers, nor by one that was rung: others were, too.
if slots and slots < wanted and (hears == 'r' or redis.call('SCARD', KEYS[16]) > (hears == 'i' and 1 or 0)) then wanted = slots end
local rate, tat, interval = tonumber(settings[2] or ''), 0, 0
if wanted > 0 and rate and rate > 0 then
  interval = 1000 / rate
  tat = math.max(tonumber(redis.call('GET', KEYS[11]) or '0'), now)
  local room = math.floor((now + (tonumber(settings[3] or '1') * interval) - tat) / interval + 1e-6)
  if room < wanted then
    wanted = math.max(room, 0)
    limited = 1
  end
end
if wanted > 0 then
  local tag, at = tonumber(ARGV[6]), 12
  local step_at = {[KEYS[12]] = '0', [KEYS[13]] = '3', [KEYS[14]] = '6', [KEYS[15]] = '9'}
  while #taken < wanted and at <= 15 do
    local list, popped = KEYS[at], nil
    if redis.REDIS_VERSION_NUM then -- Redis 7 and Valkey: all lists in one command
      local got = redis.call('LMPOP', 4, KEYS[12], KEYS[13], KEYS[14], KEYS[15], 'RIGHT', 'COUNT', wanted - #taken)
      if not got then break end
      list, popped = got[1], got[2]
    else
      popped = redis.call('RPOP', list, wanted - #taken) or {}
      at = at + 1
    end
    local names, deliveries = {}, {}
    for at_once, message in ipairs(popped) do
      local delivery, id = ids_of(message)
      names[at_once], deliveries[at_once] = id, delivery
    end
    local held, spent_now, spent_before = {}, {}, {}
    if #popped > 0 then
      held = redis.call('HMGET', KEYS[18], unpack(names))
      spent_now = redis.call('SMISMEMBER', KEYS[19], unpack(deliveries))
      spent_before = redis.call('SMISMEMBER', KEYS[20], unpack(deliveries))
    end
    local values, holds, mine_now = {}, {}, {}
    for at_once, message in ipairs(popped) do
      local id, delivery = names[at_once], deliveries[at_once]
      local holder = mine_now[id] or held[at_once]
      if delivery ~= '' and (spent_now[at_once] == 1 or spent_before[at_once] == 1 or holder == delivery) then
        copies = copies + 1
        local execution = string.match(message, '"windrow": {"v": 1, "id": "([^"]+)"')
        if execution then
          events[#events + 1] = '{"k":"refused","id":"' .. execution .. '","t":' .. now / 1000 .. ',"what":"copy","of":null}'
        end
      else
        local value = step_at[list] .. ARGV[4] .. '\n' .. message
        values[#values + 1] = tag
        values[#values + 1] = value
        tag = tag + 1
        taken[#taken + 1] = value
        local nesting = tonumber(string.match(holder and message or '', '"replaced_task_nesting":%s*(%d+)') or '0')
        if holder and nesting == 0 then
          double[#double + 1] = #taken -- its worker puts on record that it is refused
        elseif id ~= '' then
          holds[#holds + 1] = id
          holds[#holds + 1] = delivery
          mine_now[id] = delivery
        end
      end
    end
    if #values > 0 then redis.call('HSET', KEYS[2], unpack(values)) end
    if #holds > 0 then redis.call('HSET', KEYS[18], unpack(holds)) end
  end
  if #events > told then
    redis.call('XADD', KEYS[4], '*', 'v', '1', 'e', '[' .. table.concat(events, ',', told + 1) .. ']')
  end
  if interval > 0 and #taken > 0 then
    tat = tat + #taken * interval
    redis.call('SET', KEYS[11], tat, 'PX', 3600000)
  end
  if #taken < wanted then limited = 0 end
end
if limited == 1 then
  if not listener or mine or hears == 'r' or hears == '' then
    next_look = math.max(1, math.ceil(tat - now - (tonumber(settings[3] or '1') - 1) * interval))
    hears = ''
  else -- the listener comes again when the limit allows it
    limited, wanted = 0, #taken + 1
  end
end
if hears == '' then
  no_longer_idle()
  return {1, refused, taken, drain, version, next_look, limited, killed, 0, double, alone, copies, wanted}
end

-- Who hears the next push: one worker of the queue, its listener. It has read the lists here, so that the next push to any of
-- them wakes its connection (client tracking); the others wait for their bells.
local more = false
if #taken < wanted then
  if mine or not listener then
    if hears ~= 'm' or not mine then redis.call('SET', KEYS[17], worker, 'PX', 2500) end
    redis.call('EXISTS', KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[22])
    is = 1
  else
    if hears ~= 'i' then redis.call('SADD', KEYS[16], worker) end
    is = 2
  end
elseif mine or hears == 'r' then
  more = redis.call('EXISTS', KEYS[12], KEYS[13], KEYS[14], KEYS[15]) > 0
  if mine and not more then is = 1 end -- all slots are busy and nothing waits: it goes on listening, for the others
end
if more then
  -- More than this worker can take: as many idle ones are rung as messages wait. A bell that nobody hears is a dead worker's.
  local rung, waiting, idle = 0, 1, redis.call('SPOP', KEYS[16])
  if idle then
    waiting = 0
    for at = 12, 15 do waiting = waiting + redis.call('LLEN', KEYS[at]) end
  end
  while idle do
    if redis.call('PUBLISH', ARGV[7] .. 'windrow:bell:' .. idle, '1') > 0 then rung = rung + 1 end
    idle = rung < waiting and redis.call('SPOP', KEYS[16])
  end
  -- Nobody is idle: whoever is next becomes the listener, and no push wakes anybody until then.
  if rung == 0 and mine then redis.call('DEL', KEYS[17]) elseif mine then is = 3 end
end
if is ~= 2 then no_longer_idle() end
return {1, refused, taken, drain, version, next_look, limited, killed, is, double, alone, copies, wanted}
