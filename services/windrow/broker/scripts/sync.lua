-- A worker's one call: what it finished, put back and started goes out, what it may start next comes in.
-- KEYS: 1 epochs, 2 in-flight set, 3 started set, 4 events, 5 drain, 6 queue settings, 7 delayed, 8 delayed messages,
--       9 revoked version, 10 recoveries, 11 rate state, 12-15 the queue's lists by priority step
-- ARGV: 1 worker, 2 epoch, 3 now in ms, 4 queue, 5 how many to take, 6 first tag to give, 7 the key prefix,
--       then operations, each a letter and its fields:
--       F tag event id        finished: out of flight, the event to the stream
--       P tag due tag2 event  parked until due, under the name tag2
--       G tag event           given back to the tail of its list
--       K tag id max back lost  its process died: given back and counted, or lost past max; both events lack their last brace
--       R tag value           the message with its header filled in
--       S tag info            its body has started
--       E event               an event
-- Answers: {0} when this worker is not known (any more), else
--   {1, refused tags, taken values, drain state, revoked version, next look in ms or -1, 1 when the rate limit said no,
--    {tag, recoveries, lost 0 or 1} for each K}
local worker, now = ARGV[1], tonumber(ARGV[3])
if redis.call('HGET', KEYS[1], worker) ~= ARGV[2] then return {0} end
local steps = {['0'] = 12, ['3'] = 13, ['6'] = 14, ['9'] = 15}
local events, refused, killed = {}, {}, {}

local function list_of(value)
  local head = string.find(value, '\n', 1, true)
  local queue = string.sub(value, 2, head - 1)
  local step = string.sub(value, 1, 1)
  local message = string.sub(value, head + 1)
  if queue == ARGV[4] then return KEYS[steps[step]], message end
  return ARGV[7] .. queue .. (step == '0' and '' or '\6\22' .. step), message
end
local function out(tag)
  local value = redis.call('HGET', KEYS[2], tag)
  if value then
    redis.call('HDEL', KEYS[2], tag)
    redis.call('HDEL', KEYS[3], tag)
  else
    refused[#refused + 1] = tag
  end
  return value
end

local i = 8
while ARGV[i] do
  local op, tag = ARGV[i], ARGV[i + 1]
  if op == 'F' then
    if redis.call('HDEL', KEYS[2], tag) == 1 then
      redis.call('HDEL', KEYS[3], tag)
      if ARGV[i + 3] ~= '' then redis.call('HDEL', KEYS[10], ARGV[i + 3]) end
      if ARGV[i + 2] ~= '' then events[#events + 1] = ARGV[i + 2] end
    else
      refused[#refused + 1] = tag
    end
    i = i + 4
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
      redis.call('HSET', KEYS[8], ARGV[i + 3], value)
      redis.call('ZADD', KEYS[7], ARGV[i + 2], ARGV[i + 3])
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
      else
        local list, message = list_of(value)
        redis.call('RPUSH', list, message)
      end
      events[#events + 1] = (lost and ARGV[i + 5] or ARGV[i + 4]) .. ',"recoveries":' .. count .. '}'
      killed[#killed + 1] = {tag, count, lost and 1 or 0}
    end
    i = i + 6
  else
    return redis.error_reply('windrow sync: unknown operation ' .. op)
  end
end
if #events > 0 then
  redis.call('XADD', KEYS[4], '*', 'v', '1', 'e', '[' .. table.concat(events, ',') .. ']')
end

local taken, wanted, next_look, limited = {}, tonumber(ARGV[5]), -1, 0
local settings = redis.call('HMGET', KEYS[6], 'paused', 'rate', 'burst')
local drain = redis.call('HGET', KEYS[5], worker) or ''
if drain == 'asked' and redis.call('HLEN', KEYS[2]) == 0 then
  redis.call('HSET', KEYS[5], worker, 'drained')
  drain = 'drained'
end
local version = redis.call('GET', KEYS[9]) or '0'
if settings[1] == '1' or drain ~= '' then wanted = 0 end
if wanted > 0 then
  for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now, 'LIMIT', 0, 100)) do
    local value = redis.call('HGET', KEYS[8], tag)
    redis.call('ZREM', KEYS[7], tag)
    redis.call('HDEL', KEYS[8], tag)
    if value then
      local list, message = list_of(value)
      redis.call('LPUSH', list, message)
    end
  end
  local due = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
  if due[2] then next_look = math.max(1, tonumber(due[2]) - now) end
end
local rate, tat, interval = tonumber(settings[2] or ''), 0, 0
if wanted > 0 and rate and rate > 0 then
  interval = 1000 / rate
  tat = math.max(tonumber(redis.call('GET', KEYS[11]) or '0'), now)
  local room = math.floor((now + (tonumber(settings[3] or '1') * interval) - tat) / interval + 1e-6)
  if room < wanted then
    wanted = math.max(room, 0)
    if wanted == 0 then
      limited = 1
      next_look = math.max(1, math.ceil(tat - now - (tonumber(settings[3] or '1') - 1) * interval))
    end
  end
end
if wanted > 0 then
  local tag, digits = tonumber(ARGV[6]), {'0', '3', '6', '9'}
  for at = 12, 15 do
    if #taken < wanted then
      local popped = redis.call('RPOP', KEYS[at], wanted - #taken)
      if popped then
        for _, message in ipairs(popped) do
          local value = digits[at - 11] .. ARGV[4] .. '\n' .. message
          redis.call('HSET', KEYS[2], tag, value)
          tag = tag + 1
          taken[#taken + 1] = value
        end
      end
    end
  end
  if interval > 0 and #taken > 0 then
    redis.call('SET', KEYS[11], tat + #taken * interval, 'PX', 3600000)
  end
  -- Reading the lists here makes the next push to any of them wake this connection (client tracking).
  if #taken < wanted then redis.call('EXISTS', KEYS[12], KEYS[13], KEYS[14], KEYS[15]) end
end
return {1, refused, taken, drain, version, next_look, limited, killed}
