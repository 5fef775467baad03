-- The beginning of every script that needs the time.

local key = KEYS[1]

local time = redis.call('TIME')
-- Milliseconds since the Unix epoch.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The latest deadline that all servers take; later ones count as this.
local LATEST = 70368744177663

-- A whole number as text: Lua's own conversion rounds large ones.
local function text(number)
  return string.format('%.0f', number)
end

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

-- Reads a principal's list of sessions, or takes one step of a commit that changes it.
--
-- KEYS[1] is the list. ARGV is the operation, the session, the mark, and for 'add' how long the entry
-- is kept and the limit, '' for none; for 'remove stale' whether the entry was arriving, '' for no. 'list'
-- answers the time and for each entry its session, mark, when it was added, when it ends, '' for never,
-- and its state; the others a word.

local operation, session, mark = unpack(ARGV, 1, 3)

if operation == 'list' then
  local answer = { time }
  local entries = read_list(key)
  for id, entry in pairs(entries) do
    answer[#answer + 1] = { id, entry.mark, entry.added, entry.ends and text(entry.ends) or '', entry.state }
  end
  return answer
end

local entry = read_entry(key, session)
if operation == 'add' then
  local keep, limit = ARGV[4], ARGV[5]
  if is_full(key, session, limit) then return 'limit reached' end
  -- Sent again, it says the same again.
  local is_new = not entry or (entry.mark == mark and entry.state == 'arriving')
  write_entry(key, session, new_entry(mark, keep, is_new and 'arriving' or 'replacing'))
  return is_new and 'added' or 'replaced'
elseif operation == 'confirm' then
  if not entry then return 'missing' end
  entry.mark, entry.state = mark, 'listed'
  write_entry(key, session, entry)
  return 'listed'
elseif operation == 'remove' then
  drop_entry(key, session)
elseif operation == 'remove stale' then
  local is_same = entry and entry.mark == mark and (entry.state ~= 'listed') == (ARGV[4] ~= '')
  if is_same then drop_entry(key, session) end
end
return 'done'
