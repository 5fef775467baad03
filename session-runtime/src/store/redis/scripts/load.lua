-- Reads a session and the deadlines of some of its fields, all of one moment.
--
-- KEYS[1] is the session. ARGV: the number of fields to read, then their names, then the names of
-- the fields whose deadlines are asked for. Answers the time, the values, and the deadlines.

local time = redis.call('TIME')
local count = tonumber(ARGV[1])
local values = redis.call('HMGET', KEYS[1], unpack(ARGV, 2, count + 1))
local deadlines = redis.call('HPEXPIRETIME', KEYS[1], 'FIELDS', #ARGV - count - 1, unpack(ARGV, count + 2))
return { time, values, deadlines }
