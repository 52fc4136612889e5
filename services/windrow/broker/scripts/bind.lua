-- Put a queue into kombu's routing table though Redis is full. KEYS: 1 table, 2 those of its members that stay; ARGV: 1 member
for n = 1, 2 do
  redis.call('SREM', KEYS[n], '') -- after a write that needs no memory Redis lets the others pass
  redis.call('SADD', KEYS[n], ARGV[1])
end
