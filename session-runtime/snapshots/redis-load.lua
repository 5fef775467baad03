-- Reads a session, all of one moment: fields by name, the deadlines of some of them, and the fields
-- whose names have one of some prefixes.
--
-- KEYS[1] is the session. ARGV: how many fields are read, and their names; of how many the deadline is
-- asked for, and their names; and the prefixes. Answers the time, the values, the deadlines, and names
-- and values of the others in turn; 'other' for a key that is no hash.

local key, time = KEYS[1], redis.call('TIME')
local count = tonumber(ARGV[1])
local asked = tonumber(ARGV[count + 2])
local first_prefix = count + asked + 3

local values = redis.pcall('HMGET', key, unpack(ARGV, 2, count + 1))
if values.err then
  if string.find(values.err, 'WRONGTYPE', 1, true) then return 'other' end
  return values
end
local deadlines = {}
if asked > 0 then
  deadlines = redis.call('HPEXPIRETIME', key, 'FIELDS', asked, unpack(ARGV, count + 3, first_prefix - 1))
end

-- Names only: the fields of other schemas stay where they are.
local names = {}
for _, name in ipairs(ARGV[first_prefix] and redis.call('HKEYS', key) or {}) do
  for i = first_prefix, #ARGV do
    if string.sub(name, 1, #ARGV[i]) == ARGV[i] and string.byte(name) ~= 64 then
      names[#names + 1] = name
      break
    end
  end
end
local found = {}
-- As many at a time as Lua can pass.
for first = 1, #names, 4000 do
  local last = math.min(first + 3999, #names)
  for i, value in ipairs(redis.call('HMGET', key, unpack(names, first, last))) do
    found[#found + 1] = names[first + i - 1]
    found[#found + 1] = value
  end
end
return { time, values, deadlines, found }
