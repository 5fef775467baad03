
-- How lists change on a server that removes fields itself: entries go one by one, and the list with
-- the last of them, also while no program runs.

local function write_entry(list, session, entry)
  if entry.ends then
    redis.call('HSETEX', list, 'PXAT', text(entry.ends), 'FIELDS', 1, session, encode_entry(entry))
  else
    redis.call('HSET', list, session, encode_entry(entry))
  end
end

local function drop_entry(list, session)
  redis.call('HDEL', list, session)
end
