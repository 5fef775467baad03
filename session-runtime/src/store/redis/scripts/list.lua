
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
