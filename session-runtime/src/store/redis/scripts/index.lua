-- Reads or changes a principal's list of sessions.
--
-- KEYS[1] is the list, a hash: a session's id, and `<mark> <added> <ends> <state>` with moments in
-- milliseconds, `never` for an entry without end, and the state `arriving` or `listed`. ARGV is the
-- operation, the session, the mark, and for 'add' how long the entry is kept and the limit, '' for
-- none. 'list' answers the time and for each entry its session, mark, time and state; the others a
-- word.

local entries, expired = {}, {}
local others = 0
local operation, session, mark, keep, limit = unpack(ARGV)

local kept = redis.call('HGETALL', key)
for i = 1, #kept, 2 do
  local its_mark, added, ends, state = string.match(kept[i + 1], '^(%S+) (%d+) (%w+) (%a+)$')
  if not its_mark or (ends ~= 'never' and (tonumber(ends) or 0) <= now) then
    expired[#expired + 1] = kept[i]
  else
    entries[kept[i]] = { mark = its_mark, added = added, ends = ends, state = state }
    if kept[i] ~= session then others = others + 1 end
  end
end

if operation == 'list' then
  local answer = { time }
  for id, entry in pairs(entries) do
    answer[#answer + 1] = { id, entry.mark, entry.added, entry.state }
  end
  return answer
end

local entry = entries[session]
local answer = 'nothing'
if operation == 'add' then
  if limit ~= '' and others >= tonumber(limit) then return 'limit reached' end
  -- Sent again, it still is what added the entry.
  answer = (not entry or entry.mark == mark) and 'added' or 'replaced'
  local ends = keep ~= '' and text(math.min(now + keep, LATEST)) or 'never'
  entries[session] = { mark = mark, added = text(now), ends = ends, state = 'arriving' }
elseif operation == 'confirm' then
  if not entry then return 'missing' end
  answer = 'listed'
  entry.mark, entry.state = mark, 'listed'
elseif operation == 'remove' or (entry and entry.mark == mark) then
  entries[session] = nil
  expired[#expired + 1] = session
end

entry = entries[session]
if entry then
  local words = { entry.mark, entry.added, entry.ends, entry.state }
  redis.call('HSET', key, session, table.concat(words, ' '))
end
in_batches('HDEL', expired)

-- The list ends with its last entry.
local last = 0
for _, other in pairs(entries) do
  last = math.max(last, other.ends == 'never' and math.huge or tonumber(other.ends))
end
if last == math.huge then
  redis.call('PERSIST', key)
else
  redis.call('PEXPIREAT', key, text(last))
end
return answer
