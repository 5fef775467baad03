-- Applies a commit to one session, or does nothing at all. It does what `Record::commit` does.
--
-- Everything that can be refused is decided before the first write: what a script has written stays
-- written when a later command of it fails.
--
-- KEYS[1] is the session. ARGV, in this order: commit id; action and its verifier; new verifier and
-- grace of a rotation; whether the commit is remembered; idle timeout and lifetime; persistent;
-- label; how many conditions, and for each its field, whether it is present, and its value; how many
-- changes, and for each its kind, its field, and what the kind needs. '' means that there is none.
-- Answers: 'applied' and one value per change; 'gone'; 'foreign' for a key that is no session;
-- 'conflict' or 'out of range' and the place in the list of conditions or changes.

local position = 0

local function argument()
  position = position + 1
  return ARGV[position]
end

local id, action, verifier = argument(), argument(), argument()
local new_verifier, grace = argument(), argument()
local remembered = argument()
local new_idle, new_lifetime = argument(), argument()
local persistent, label = argument(), argument()

local conditions = {}
for i = 1, tonumber(argument()) do
  conditions[i] = { name = argument(), present = argument() ~= '', value = argument() }
end

local changes = {}
for i = 1, tonumber(argument()) do
  local change = { kind = argument(), name = argument() }
  if change.kind == 'merge' then
    change.operation, change.operand, change.initial = argument(), argument(), argument()
    change.min, change.max, change.stop_at_min = argument(), argument(), argument()
  elseif change.kind == 'set' or change.kind == 'set if absent' then
    change.value = argument()
  end
  if change.kind ~= 'remove' and change.kind ~= 'take' then
    change.ttl, change.restart = argument(), argument()
  end
  changes[i] = change
end

-- The session as it is.

local header = redis.pcall('HMGET', key, '@verifier', '@commits', '@created', '@seen', '@idle', '@end')
if header.err then
  if string.sub(header.err, 1, 9) == 'WRONGTYPE' then return { 'foreign' } end
  return header
end
local current, commits = header[1], header[2] or ''

-- A number of the header, nil where there is none; what is not a number ruins the session.
local ruined = false
local function number(kept)
  if not kept then return nil end
  if #kept > 14 or not string.find(kept, '^%d+$') then
    ruined = true
    return nil
  end
  return tonumber(kept)
end

local created, seen = number(header[3]), number(header[4])
local idle, last = number(header[5]), number(header[6])

-- When the session ends if it was seen at that moment, nil for never.
local function ends(seen_at)
  local idle_end = idle and math.min(seen_at + idle, LATEST)
  return idle_end and last and math.min(idle_end, last) or idle_end or last
end

local exists = false
if current and created and seen and not ruined then
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
  local answer = { 'applied' }
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
elseif current ~= verifier then
  if new_verifier ~= '' or fetch('@previous') ~= verifier then return { 'gone' } end
end

if action == 'destroy' then
  redis.call('DEL', key)
  local answer = { 'applied' }
  for i = 1, #changes do answer[i + 1] = false end
  return answer
end

for i, condition in ipairs(conditions) do
  local value
  if condition.name == '@commits' then
    if commits ~= '' then value = string.sub(commits, -8) end
  else
    value = action ~= 'create' and fetch(condition.name) or nil
  end
  if condition.present ~= (value ~= nil) or (value and value ~= condition.value) then
    return { 'conflict', i - 1 }
  end
end

-- The fields as they will be.

local names, staged = {}, {}

local function stage(name, value, deadline)
  if not staged[name] then names[#names + 1] = name end
  staged[name] = { value = value, deadline = deadline }
end

local function get(name)
  local field = staged[name]
  if not field then return fetch(name) end
  if field.deadline and field.deadline <= now then return nil end
  return field.value
end

local function get_deadline(name)
  local field = staged[name]
  if not field then return fetch_deadline(name) end
  if field.deadline and field.deadline <= now then return nil end
  return field.deadline
end

local function put(change, value)
  local deadline
  if change.ttl ~= '' then
    deadline = change.restart == '' and get_deadline(change.name)
      or math.min(now + change.ttl, LATEST)
  end
  stage(change.name, value, deadline)
end

-- The combined integer, or nil where it is not in the range.
local function merged(change)
  local stored = get(change.name)
  if not stored or not is_integer(stored) then stored = change.initial end
  local result = stored
  if change.operation == 'add' then
    result = add(stored, change.operand)
  elseif compare(change.operand, stored) == (change.operation == 'max' and 1 or -1) then
    result = change.operand
  end
  if compare(result, change.min) < 0 then return change.stop_at_min ~= '' and change.min or nil end
  if compare(result, change.max) > 0 then return nil end
  return result
end

local answer = { 'applied' }
for i, change in ipairs(changes) do
  local kind, name, value = change.kind, change.name, nil
  if kind == 'set' then
    put(change, change.value)
  elseif kind == 'set if absent' then
    if not get(name) then put(change, change.value) end
  elseif kind == 'remove' then
    stage(name)
  elseif kind == 'merge' then
    value = merged(change)
    if not value then return { 'out of range', i - 1 } end
    put(change, value)
  elseif kind == 'renew' then
    local present = get(name)
    if present then put(change, present) end
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
end
if new_verifier ~= '' then
  stage('@verifier', new_verifier)
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
if remembered ~= '' then stage('@commits', string.sub(commits .. id, -64)) end
stage('@seen', text(now))

write(names, staged)
local at = ends(now)
if at then
  redis.call('PEXPIREAT', key, text(at))
elseif action ~= 'create' then
  redis.call('PERSIST', key)
end
return answer
