-- One write command that a full Redis does not refuse. KEYS: 1 its key, which has no time to live; ARGV: 1 the command, 2… its arguments after the key
redis.call('PERSIST', KEYS[1]) -- changes nothing; after a write of the same script a full Redis refuses no other
return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))
