-- Applies a commit to one session, or does nothing at all. It does what `Record::commit` does.
--
-- Everything that can be refused is decided before the first write: what a script has written stays
-- written when a later command of it fails.
--
-- KEYS[1] is the session, the others the lists of principals that change. The arguments, in this
-- order: commit id, '' for a touch, which is not remembered; action and its verifier; new verifier and
-- grace of a rotation; idle timeout and lifetime; persistent; label; whether the grace ends; how many
-- conditions, and for each its field, whether it is present, and its value; how many changes, and for
-- each its kind, its field, and what the kind needs: 'set' and 'set if absent' a value, a time to live
-- and whether that restarts; 'merge' operation, operand, initial value, least and greatest result,
-- whether to stop at the least, and then the same two about time; 'renew' only these two; 'remove' and
-- 'take' nothing; and for each list 'add' or 'remove', how long the entry is kept, and the limit. ''
-- means that there is none, or no. Times are milliseconds.
-- Answers: 'applied', or 'repeated' for a commit that was applied before, and one value per change;
-- 'gone'; 'foreign' for a key that is no session; 'conflict', 'limit reached' or 'out of range' and
-- the place among the conditions, lists or changes.

local id, action, verifier, new_verifier, grace, new_idle, new_lifetime, persistent, label, end_grace =
  unpack(arguments, 1, 10)

local position = 12
local conditions = {}
for i = 1, tonumber(arguments[11]) do
  local name, present, value = unpack(arguments, position, position + 2)
  conditions[i] = { name = name, present = present ~= '', value = value }
  position = position + 3
end

-- What each kind needs after its name.
local needed = { set = 3, ['set if absent'] = 3, remove = 0, merge = 8, renew = 2, take = 0 }
local changes = {}
local count = tonumber(arguments[position])
position = position + 1
for i = 1, count do
  local kind, name = arguments[position], arguments[position + 1]
  changes[i] = { kind = kind, name = name, at = position + 2 }
  position = position + 2 + needed[kind]
end

-- The session's id is the end of its key.
local session = string.sub(key, -22)
local lists = {}
for i = 2, #KEYS do
  local operation, keep, limit = unpack(arguments, position, position + 2)
  lists[i - 1] = { key = KEYS[i], adds = operation == 'add', keep = keep, limit = limit }
  position = position + 3
end

-- The session as it is.

local header = redis.pcall('HMGET', key, '@verifier', '@commits', '@created', '@seen', '@idle', '@end')
if header.err then
  if string.sub(header.err, 1, 9) == 'WRONGTYPE' then return { 'foreign' } end
  return header
end
local current, commits = header[1], header[2] or ''

local created, seen = number(header[3]), number(header[4])
local idle, last = number(header[5]), number(header[6])
local is_whole = created and seen and (idle or not header[5]) and (last or not header[6])

-- When the session ends if it was seen at that moment, nil for never.
local function ends(seen_at)
  local idle_end = idle and math.min(seen_at + idle, LATEST)
  return idle_end and last and math.min(idle_end, last) or idle_end or last
end

local exists = false
if current and is_whole then
  local at = ends(seen)
  if at and at <= now then
    redis.call('DEL', key)
    header = nil
  else
    exists = true
  end
end

local function is_recent()
  for first = 1, #commits, 8 do
    if string.sub(commits, first, first + 7) == id then return true end
  end
  return false
end

local function answer_again()
  local answer = { 'repeated' }
  for i, change in ipairs(changes) do
    local value
    if change.kind == 'take' then
      local taken = fetch('@taken:' .. change.name)
      if taken and string.sub(taken, 1, 8) == id then value = string.sub(taken, 9) end
    elseif change.kind == 'merge' then
      value = fetch(change.name)
    end
    answer[i + 1] = value or false
  end
  return answer
end

-- Guards.

if exists and is_recent() then return answer_again() end
if action == 'create' then
  -- A key that is there without being a session is not ours to replace.
  if exists or redis.call('EXISTS', key) == 1 then return { exists and 'gone' or 'foreign' } end
  created, idle, last, commits = now, nil, nil, ''
elseif not exists then
  return { header and header[1] and 'foreign' or 'gone' }
elseif action ~= 'revoke' and current ~= verifier then
  if new_verifier ~= '' or fetch('@previous') ~= verifier then return { 'gone' } end
end

if action ~= 'destroy' then
  for i, condition in ipairs(conditions) do
    local value
    if condition.name == '@commits' then
      if commits ~= '' then value = string.sub(commits, -8) end
    else
      value = fetch(condition.name)
    end
    if condition.present ~= (value ~= nil) or (value and value ~= condition.value) then
      return { 'conflict', i - 1 }
    end
  end
end

for i, list in ipairs(lists) do
  -- Reading also finds a key that is no list before anything is written.
  read_entry(list.key, session)
  if list.adds and is_full(list.key, session, list.limit) then return { 'limit reached', i - 1 } end
end

local function change_lists()
  for _, list in ipairs(lists) do
    if list.adds then
      write_entry(list.key, session, new_entry(id, list.keep, 'listed'))
    else
      drop_entry(list.key, session)
    end
  end
end

if action == 'destroy' or action == 'revoke' then
  redis.call('DEL', key)
  change_lists()
  local answer = { 'applied' }
  for i = 1, #changes do answer[i + 1] = false end
  return answer
end

-- The fields as they will be.

-- In the order in which they were named; the value of each, false for a removal; and the deadlines.
local names, staged, deadlines = {}, {}, {}

-- Stages a value, or a removal where there is none or its deadline has come.
local function stage(name, value, deadline)
  if staged[name] == nil then names[#names + 1] = name end
  staged[name] = value and not (deadline and deadline <= now) and value or false
  deadlines[name] = deadline
end

local function get(name)
  local value = staged[name]
  if value == nil then return fetch(name) end
  return value or nil
end

local function get_deadline(name)
  local value = staged[name]
  if value == nil then return fetch_deadline(name) end
  return value and deadlines[name] or nil
end

-- Stages a value whose time to live and whether it restarts are the arguments at `at`.
local function put(name, value, at)
  local ttl, deadline = arguments[at], nil
  if ttl ~= '' then
    deadline = arguments[at + 1] == '' and get_deadline(name) or math.min(now + ttl, LATEST)
  end
  stage(name, value, deadline)
end

-- The combined integer, or nil where it is not in the range.
local function merged(name, at)
  local operation, operand, initial, min, max, stop_at_min = unpack(arguments, at, at + 5)
  local stored = get(name)
  if not stored or not is_integer(stored) then stored = initial end
  local result = stored
  if operation == 'add' then
    result = add(stored, operand)
  elseif compare(operand, stored) == (operation == 'max' and 1 or -1) then
    result = operand
  end
  if compare(result, min) < 0 then return stop_at_min ~= '' and min or nil end
  if compare(result, max) > 0 then return nil end
  return result
end

local answer = { 'applied' }
for i, change in ipairs(changes) do
  local kind, name, at, value = change.kind, change.name, change.at, nil
  if kind == 'set' then
    put(name, arguments[at], at + 1)
  elseif kind == 'set if absent' then
    if not get(name) then put(name, arguments[at], at + 1) end
  elseif kind == 'remove' then
    stage(name)
  elseif kind == 'merge' then
    value = merged(name, at)
    if not value then return { 'out of range', i - 1 } end
    put(name, value, at + 6)
  elseif kind == 'renew' then
    local present = get(name)
    if present then put(name, present, at) end
  elseif kind == 'take' then
    value = get(name)
    stage(name)
    -- Kept for a while, so that a commit that arrives again can answer again.
    if value then stage('@taken:' .. name, id .. value, now + 30000) end
  end
  answer[i + 1] = value or false
end

-- The header as it will be.

if action == 'create' then
  stage('@verifier', verifier)
  stage('@created', text(now))
  stage('@rotated', text(now))
end
if end_grace ~= '' then stage('@previous') end
if new_verifier ~= '' then
  stage('@verifier', new_verifier)
  stage('@rotated', text(now))
  stage('@previous', grace ~= '' and current or nil, grace ~= '' and math.min(now + grace, LATEST) or nil)
end
if new_idle ~= '' then
  idle = tonumber(new_idle)
  last = new_lifetime ~= 'none' and math.min(created + new_lifetime, LATEST) or nil
  stage('@idle', idle and text(idle))
  stage('@end', last and text(last))
end
if persistent ~= '' then stage('@persistent', persistent) end
if label ~= '' then stage('@label', string.sub(label, 2)) end
if id ~= '' then stage('@commits', string.sub(commits .. id, -64)) end
stage('@seen', text(now))

write(names, staged, deadlines)
local at = ends(now)
if at then
  redis.call('PEXPIREAT', key, text(at))
elseif action ~= 'create' then
  redis.call('PERSIST', key)
end
change_lists()
return answer
