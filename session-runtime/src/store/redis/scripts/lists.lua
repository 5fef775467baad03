
-- The lists of principals: a hash each, of a session's id and `<mark> <added> <ends> <state>`, with
-- moments in milliseconds and `never` for an entry without end. The state is `listed`; while the
-- commit may still be on its way to the session it is `arriving`, and `replacing` where the session
-- was listed before.

-- An entry from how it is kept; nil for one whose time is over and for what is none.
local function decode_entry(kept)
  local mark, added, ends, state = string.match(kept or '', '^(%S+) (%d+) (%w+) (%a+)$')
  if not mark then return nil end
  local last
  if ends ~= 'never' then
    last = string.find(ends, '^%d+$') and tonumber(ends) or 0
    if last <= now or last > LATEST then return nil end
  end
  return { mark = mark, added = added, ends = last, state = state }
end

local function encode_entry(entry)
  return table.concat({ entry.mark, entry.added, entry.ends and text(entry.ends) or 'never', entry.state }, ' ')
end

local function new_entry(mark, keep, state)
  local ends
  if keep ~= '' then ends = math.min(now + keep, LATEST) end
  return { mark = mark, added = text(now), ends = ends, state = state }
end

-- The entry of a session, or nil.
local function read_entry(list, session)
  return decode_entry(redis.call('HGET', list, session))
end

-- All entries by session, and the sessions of those whose time is over.
local function read_list(list)
  local entries, over = {}, {}
  local kept = redis.call('HGETALL', list)
  for i = 1, #kept, 2 do
    local entry = decode_entry(kept[i + 1])
    entries[kept[i]] = entry
    if not entry then over[#over + 1] = kept[i] end
  end
  return entries, over
end

-- Whether the list has as many other sessions as it may have.
local function is_full(list, session, limit)
  if limit == '' then return false end
  local entries = read_list(list)
  local others = 0
  for other in pairs(entries) do
    if other ~= session then others = others + 1 end
  end
  return others >= tonumber(limit)
end
