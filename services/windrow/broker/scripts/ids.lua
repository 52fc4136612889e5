-- Included where a script says `--#include ids`: what tells messages apart.

-- A message's delivery tag, which each publish makes anew, and its task id; '' for what a stranger's message has not.
local function ids_of(message)
  local at = string.find(message, '"properties":', 1, true)
  if not at then return '', '' end
  local function text(key)
    local _, to = string.find(message, key, at, true)
    return to and string.match(message, '^%s*"([^"\n]*)"', to + 1) or ''
  end
  return text('"delivery_tag":'), text('"correlation_id":')
end
