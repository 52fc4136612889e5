-- Included where a script says `--#include ids`: what tells messages apart.

local find, sub, byte = string.find, string.sub, string.byte
local function text_after(message, key, from)
  local _, to = find(message, key, from, true)
  if not to then return '' end
  if byte(message, to + 37) == 34 then return sub(message, to + 1, to + 36) end -- a UUID, and its quote
  local quote = find(message, '"', to + 1, true)
  return quote and sub(message, to + 1, quote - 1) or ''
end
-- A message's delivery tag, which each publish makes anew, and its task id; '' for what a stranger's message has not.
-- They are read where kombu writes them, at the end; a text inside a string has no quote without a backslash before it.
local function ids_of(message)
  local delivery, id = text_after(message, '"delivery_tag": "', -60), text_after(message, 'properties": {"correlation_id": "', -600)
  if delivery ~= '' and id ~= '' then return delivery, id end
  local at = find(message, 'properties":', 1, true)
  if not at then return '', '' end
  return string.match(message, '"delivery_tag":%s*"([^"\n]*)"', at) or '',
    string.match(message, '"correlation_id":%s*"([^"\n]*)"', at) or ''
end
