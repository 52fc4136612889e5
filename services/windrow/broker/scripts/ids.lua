-- Included where a script says `--#include ids`: what tells messages apart.

-- A message's delivery tag, which each publish makes anew, and its task id; '' for what a stranger's message has not.
local function ids_of(message)
  -- Where kombu writes them, at the end; and no text inside a string has a quote without a backslash before it.
  local at = string.find(message, 'properties":', math.max(#message - 600, 1), true) or string.find(message, 'properties":', 1, true)
  if not at then return '', '' end
  local function text(key)
    local _, to = string.find(message, key, at, true)
    return to and string.match(message, '^%s*"([^"\n]*)"', to + 1) or ''
  end
  return text('y_tag":'), text('n_id":')
end
