
-- How lists change on a server that only knows deadlines of whole keys: each change removes the
-- entries whose time is over, and the key ends with its last entry.

local function tidy(list)
  local entries, over = read_list(list)
  for _, session in ipairs(over) do redis.call('HDEL', list, session) end
  local last = 0
  for _, entry in pairs(entries) do last = math.max(last, entry.ends or math.huge) end
  if last == math.huge then
    redis.call('PERSIST', list)
  else
    redis.call('PEXPIREAT', list, text(last))
  end
end

local function write_entry(list, session, entry)
  redis.call('HSET', list, session, encode_entry(entry))
  tidy(list)
end

local function drop_entry(list, session)
  redis.call('HDEL', list, session)
  tidy(list)
end
