-- Accept several task calls that take one attempt's place, all or none.
-- KEYS, ARGV: those of `publish` for each, one after the other; before them ARGV: 1 how many keys, 2 how many arguments each has
-- Answers what `publish` answers to each.
--#include ids
--#include accept
local keys, arguments, answers = tonumber(ARGV[1]), tonumber(ARGV[2]), {}
for n = 0, #KEYS / keys - 1 do
  answers[n + 1] = accept({unpack(KEYS, n * keys + 1, (n + 1) * keys)}, {unpack(ARGV, n * arguments + 3, (n + 1) * arguments + 2)})
end
return answers
