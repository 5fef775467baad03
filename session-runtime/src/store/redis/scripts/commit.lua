
-- Applies a commit to one session, or does nothing at all. It does what `Commit::apply` does.
--
-- Everything that can be refused is decided before the first write: what a script has written stays
-- written when a later command of it fails.
--
-- KEYS[1] is the session, the others the lists of principals that change; a Cluster changes lists in
-- steps of their own. ARGV:
--   1 commit id, '' for a touch, which is not remembered; 2 action; 3 its verifier;
--   4 the place after the values that only replace what is there: where a commit that only writes ends;
--   5 how many of these values live as long as the session, and for each its field and itself; then
--     groups of those whose time to live starts anew: time to live, how many, and for each the same;
--   and for commits that do more, from the place that 4 says:
--   session id; new verifier, grace, and whether the previous token may rotate; verifier of the link
--   and how long it is kept; timeouts as `@` keeps them; persistent; label; whether the grace ends;
--   whether the link is closed;
--   how many conditions, and for each 'field', the field, whether it is present, its value; 'last', '',
--     whether there is one, its id; 'principal', the field, '1', the principal;
--   how many changes, and for each its kind, its field, and what the kind needs: 'set' and 'set if
--     absent' a value, a time to live and whether that restarts; 'merge' operation, operand, initial
--     value, least and greatest result, whether to stop at the least, and the same two about time;
--     'renew' these two, whether an absent field is restored, to which value, and at which last commit;
--     'bound' the most that stay and whether others are removed; 'remove' and 'take' nothing;
--   and for each list 'add' or 'remove', the field, the principal, how long the entry is kept, and the
--     limit.
-- '' means that there is none, or no. Times are milliseconds.
--
-- Answers: the time alone for a commit of the short way; else 'applied', or 'repeated' for a commit
-- that was applied before, the time, and one value per change; 'gone'; 'taken' for a creation whose id
-- exists; 'other' for a key that is no session; 'conflict' and the place of the condition; 'changed',
-- 'out of range' or 'too many' and the place of the change; 'full' and the place of the list.

local place = rest - 1
local function next_argument()
  place = place + 1
  return ARGV[place] or ''
end
local function next_arguments(count)
  place = place + count
  return unpack(ARGV, place - count + 1, place)
end

local changes = {}
local at = 6
for _ = 1, lasting do
  changes[#changes + 1] = { kind = 'set', name = ARGV[at], value = ARGV[at + 1], ttl = '', restarts = '' }
  at = at + 2
end
while at < rest do
  local ttl, count = ARGV[at], tonumber(ARGV[at + 1])
  at = at + 2
  for _ = 1, count do
    changes[#changes + 1] = { kind = 'set', name = ARGV[at], value = ARGV[at + 1], ttl = ttl, restarts = '1' }
    at = at + 2
  end
end

local session = next_argument()
local new_verifier, grace, from_previous = next_argument(), next_argument(), next_argument()
local link_verifier, link_keep = next_argument(), next_argument()
local new_timeouts, new_persistent, new_label = next_argument(), next_argument(), next_argument()
local end_grace, close_link = next_argument(), next_argument()

local conditions = {}
for i = 1, tonumber(next_argument()) or 0 do
  local kind, name, present, value = next_arguments(4)
  conditions[i] = { kind = kind, name = name, present = present ~= '', value = value }
end

for _ = 1, tonumber(next_argument()) or 0 do
  local kind, name = next_arguments(2)
  local change = { kind = kind, name = name }
  if kind == 'set' or kind == 'set if absent' then
    change.value, change.ttl, change.restarts = next_arguments(3)
  elseif kind == 'merge' then
    change.operation, change.operand, change.initial = next_arguments(3)
    change.min, change.max, change.stops_at_min = next_arguments(3)
    change.ttl, change.restarts = next_arguments(2)
  elseif kind == 'renew' then
    change.ttl, change.restarts, change.restores, change.value, change.last = next_arguments(5)
  elseif kind == 'bound' then
    change.max, change.evicts = next_arguments(2)
  end
  changes[#changes + 1] = change
end

local lists = {}
while ARGV[place + 1] do
  local operation, name, principal, keep, limit = next_arguments(5)
  lists[#lists + 1] = {
    key = KEYS[#lists + 2], adds = operation == 'add', name = name, principal = principal, keep = keep, limit = limit,
  }
end

-- Timeouts in milliseconds, math.huge for none: from characters 50-57 of `@`, and from the numbers
-- behind the moment of the token for those that are kept there. nil for what makes no sense.
local function read_timeouts(limits, exact)
  local first, second = string.match(exact, '^([^.]*)%.?(.*)$')
  local idle, lifetime = sub(limits, 1, 4), sub(limits, 5, 8)
  if idle == 'full' then
    idle, first = from_base36(first), second
  else
    idle = timeout(idle)
  end
  return idle, lifetime == 'full' and from_base36(first) or timeout(lifetime)
end

-- The session as it is.

local kept = redis.pcall('HMGET', key, '@', '@recent', '@previous', '@link', '@taken', '@principals')
if kept.err then
  if string.find(kept.err, 'WRONGTYPE', 1, true) then return { 'other' } end
  return kept
end
local recent = kept[2] or ''

-- The parts of `@`; nil where they make no sense, which ruins a session.
local function read_header(header)
  if not header or #header < 58 or not string.find(sub(header, 1, 22), '^[%w_-]+$') then return nil end
  local rotated, exact = string.match(sub(header, 58), '^([^.]*)%.?(.*)$')
  local limits = sub(header, 50, 57)
  local idle, lifetime = read_timeouts(limits, exact)
  local created, seen = from_base36(sub(header, 33, 41)), from_base36(sub(header, 42, 49))
  local flags = tonumber(sub(header, 32, 32), 16)
  if not (created and seen and idle and lifetime and flags) then return nil end
  return {
    verifier = sub(header, 1, 22), last = sub(header, 23, 30), persistent = sub(header, 31, 31),
    has_label = flags >= 8, created = created, seen = created + seen, limits = limits, exact = exact,
    idle = idle, lifetime = lifetime, rotated = rotated,
  }
end

-- What a header field with a deadline holds, and the deadline; nil once that has come.
local function read_timed(text_kept)
  local deadline, start = string.match(text_kept or '', '^@(%d+) ()')
  deadline = tonumber(deadline)
  if not deadline or deadline <= now or deadline > LATEST then return nil end
  return sub(text_kept, start), deadline
end

local header = read_header(kept[1])
if header and math.min(header.seen + header.idle, header.created + header.lifetime) <= now then
  redis.call('DEL', key)
  header, recent, kept = nil, '', {}
end
local exists = header ~= nil
local previous, previous_until = read_timed(kept[3])
local link, link_until = read_timed(kept[4])

-- What was taken a moment ago: for each field the commit, until when it is kept, and the value.
local taken = {}
local function read_taken(content)
  local position = 1
  while true do
    local commit, deadline, name_length, value_length, start =
      string.match(content, '^(%S+) (%d+) (%d+) (%d+) ()', position)
    if not commit then return end
    local value_start = start + name_length
    position = value_start + value_length
    deadline = tonumber(deadline)
    if deadline > now and deadline <= LATEST then
      taken[#taken + 1] = {
        commit = commit, deadline = deadline, name = sub(content, start, value_start - 1),
        value = sub(content, value_start, position - 1),
      }
    end
  end
end
read_taken(read_timed(kept[5]) or '')

local principals = {}
for principal, name in string.gmatch(kept[6] or '', '(%S+) (%S+)') do
  principals[#principals + 1] = { name = name, principal = principal }
end

local function is_recent(ids)
  for first = 1, #ids, 8 do
    if sub(ids, first, first + 7) == id then return true end
  end
  return false
end

local function answer_again()
  local answer = { 'repeated', now }
  for i, change in ipairs(changes) do
    local value
    if change.kind == 'take' then
      for _, entry in ipairs(taken) do
        if entry.commit == id and entry.name == change.name then value = entry.value end
      end
    elseif change.kind == 'merge' or change.kind == 'set if absent' then
      value = fetch(change.name)
    end
    answer[i + 2] = value or false
  end
  return answer
end

-- Guards.

if exists and id ~= '' and is_recent(recent .. header.last) then return answer_again() end
if action == 'create' then
  if exists then return { 'taken' } end
  -- A key that is there without being a session is not replaced.
  if redis.call('EXISTS', key) == 1 then return { 'other' } end
  header = {
    verifier = verifier, last = '', persistent = 'n', has_label = false, created = now, limits = 'nonenone', exact = '',
    idle = math.huge, lifetime = math.huge, rotated = '0',
  }
elseif not exists then
  return { kept[1] and 'other' or 'gone' }
elseif action ~= 'revoke' then
  local is_previous = previous == verifier
  if not (is_previous or header.verifier == verifier or link == verifier) then return { 'gone' } end
  if is_previous and new_verifier ~= '' and from_previous == '' then return { 'gone' } end
end

local function find_principal(name)
  for i, listed in ipairs(principals) do
    if listed.name == name then return i, listed.principal end
  end
end

if action ~= 'destroy' then
  for i, condition in ipairs(conditions) do
    local value, _
    if condition.kind == 'field' then
      value = fetch(condition.name)
    elseif condition.kind == 'last' then
      value = header.last ~= '' and header.last or nil
    else
      _, value = find_principal(condition.name)
    end
    if condition.present ~= (value ~= nil) or (value and value ~= condition.value) then
      return { 'conflict', i - 1 }
    end
  end
end

for i, list in ipairs(lists) do
  if list.key then
    -- Reading also finds a key that is no list before anything is written.
    read_entry(list.key, session)
    if list.adds and is_full(list.key, session, list.limit) then return { 'full', i - 1 } end
  end
end

local function change_lists()
  for _, list in ipairs(lists) do
    if list.key and list.adds then
      write_entry(list.key, session, new_entry(id, list.keep, 'listed'))
    elseif list.key then
      drop_entry(list.key, session)
    end
  end
end

if action == 'destroy' or action == 'revoke' then
  redis.call('DEL', key)
  change_lists()
  local answer = { 'applied', now }
  for i = 1, #changes do answer[i + 2] = false end
  return answer
end

-- The fields as they will be.

-- In the order in which they were named; the value of each, false for a removal; and the deadlines.
local names, staged, deadlines = {}, {}, {}
-- Whether anything is added that was not there.
local grows = action == 'create'

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

-- Stages a value with the time to live of a change.
local function put(change, value)
  local deadline
  if change.ttl ~= '' then
    deadline = change.restarts == '' and get_deadline(change.name) or math.min(now + change.ttl, LATEST)
  end
  stage(change.name, value, deadline)
end

-- The combined integer, or nil where it is not in the range.
local function merged(change)
  local stored = get(change.name)
  if not stored or not is_integer(stored) then stored = change.initial end
  local operation, operand, result = change.operation, change.operand, stored
  if operation == 'add' then
    result = add(stored, operand)
  elseif compare(operand, stored) == (operation == 'max' and 1 or -1) then
    result = operand
  end
  if compare(result, change.min) < 0 then return change.stops_at_min ~= '' and change.min or nil end
  if compare(result, change.max) > 0 then return nil end
  return result
end

-- By bytes: Lua's own comparison follows the server's locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function ends_before(a, b)
  local x, y = a.deadline or math.huge, b.deadline or math.huge
  if x ~= y then return x < y end
  return is_before(a.name, b.name)
end

-- Removes the fields with this prefix that are too many; answers whether that was enough.
local function bound(change)
  local function is_meant(name)
    return sub(name, 1, #change.name) == change.name and sub(name, 1, 1) ~= '@'
  end
  local count, others = 0, {}
  for name, value in pairs(staged) do
    if value and is_meant(name) then count = count + 1 end
  end
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if staged[name] == nil and is_meant(name) then others[#others + 1] = name end
  end
  others = fetch_present(others)
  local excess = count + #others - change.max
  if excess <= 0 then return true end
  if change.evicts == '' or excess > #others then return false end
  table.sort(others, ends_before)
  for i = 1, excess do stage(others[i].name) end
  return true
end

local answer = { 'applied', now }
local taken_now = {}
for i, change in ipairs(changes) do
  local kind, name, value = change.kind, change.name, nil
  if kind == 'set' or kind == 'set if absent' then
    if kind == 'set if absent' then value = get(name) end
    if not value then
      put(change, change.value)
      grows = true
    end
  elseif kind == 'remove' then
    stage(name)
  elseif kind == 'merge' then
    value = merged(change)
    if not value then return { 'out of range', i - 1 } end
    put(change, value)
    grows = true
  elseif kind == 'renew' then
    local present = get(name)
    if present then
      put(change, present)
    elseif change.restores ~= '' then
      if change.last ~= header.last then return { 'changed', i - 1 } end
      put(change, change.value)
      grows = true
    end
  elseif kind == 'take' then
    value = get(name)
    stage(name)
    if value then taken_now[#taken_now + 1] = { commit = id, deadline = now + 30000, name = name, value = value } end
  elseif kind == 'bound' then
    if not bound(change) then return { 'too many', i - 1 } end
  end
  answer[i + 2] = value or false
end

-- The header as it will be.

-- Stages a header field, or its removal where it was kept.
local function stage_header(name, was_kept, value, deadline)
  if value then
    stage(name, deadline and with_deadline(value, deadline) or value, deadline)
  elseif was_kept then
    stage(name)
  end
end

if end_grace ~= '' then previous = nil end
if close_link ~= '' then link = nil end
if link_verifier ~= '' then link, link_until = link_verifier, math.min(now + link_keep, LATEST) end
if new_verifier ~= '' then
  previous = nil
  if grace ~= '' then
    previous, previous_until = header.verifier, math.min(now + grace, LATEST)
    grows = true
  end
  header.verifier = new_verifier
  header.rotated = string.match(since(header.created), '^0*(.+)$')
end
-- A credential whose time is over opens nothing, so it is not kept.
if previous and previous_until <= now then previous = nil end
if link and link_until <= now then link = nil end
stage_header('@previous', kept[3], previous, previous_until)
stage_header('@link', kept[4], link, link_until)

if new_timeouts ~= '' then
  header.limits, header.exact = sub(new_timeouts, 1, 8), sub(new_timeouts, 10)
  header.idle, header.lifetime = read_timeouts(header.limits, header.exact)
end
if new_persistent ~= '' then header.persistent = new_persistent end
if new_label ~= '' then
  header.has_label = true
  stage('@label', sub(new_label, 2))
  grows = true
end

for _, list in ipairs(lists) do
  local i, principal = find_principal(list.name)
  if list.adds then
    if i then table.remove(principals, i) end
    principals[#principals + 1] = { name = list.name, principal = list.principal }
    grows = true
  elseif principal == list.principal then
    table.remove(principals, i)
  end
end
if #lists > 0 then
  local pairs_kept = {}
  for i, listed in ipairs(principals) do pairs_kept[i] = listed.principal .. ' ' .. listed.name end
  stage_header('@principals', kept[6], #principals > 0 and table.concat(pairs_kept, ' '))
end

if id ~= '' then
  local was_recent = recent
  recent = sub(recent .. header.last, -56)
  if recent ~= was_recent then stage('@recent', recent) end
  header.last = id
  -- What was taken goes with the commit that took it, and when another takes the same field.
  local is_new = {}
  for _, entry in ipairs(taken_now) do is_new[entry.name] = true end
  for _, entry in ipairs(taken) do
    local first = string.find(recent, entry.commit, 1, true)
    if first and not is_new[entry.name] then taken_now[#taken_now + 1] = entry end
  end
else
  taken_now = taken
end
local words, taken_until = {}, 0
for _, entry in ipairs(taken_now) do
  words[#words + 1] = table.concat({ entry.commit, text(entry.deadline), #entry.name, #entry.value, '' }, ' ')
  words[#words + 1] = entry.name
  words[#words + 1] = entry.value
  taken_until = math.max(taken_until, entry.deadline)
end
stage_header('@taken', kept[5], #words > 0 and table.concat(words), taken_until)

local flags = (previous and 1 or 0) + (link and 2 or 0) + (#words > 0 and 4 or 0) + (header.has_label and 8 or 0)
stage('@', header.verifier .. header.last .. header.persistent .. string.format('%x', flags)
  .. to_base36(header.created, 9) .. since(header.created) .. header.limits .. header.rotated
  .. (header.exact ~= '' and '.' .. header.exact or ''))

local ends = math.min(now + header.idle, header.created + header.lifetime)
-- A commit that adds nothing begins with what a full server accepts, so that it accepts the rest too:
-- Redis 7.0 and 8.0 and Valkey 9.1 refuse only a script's first write, and only a command that may need
-- memory. Seen at `maxmemory`: touches, renewals, removals, takes and rotations without grace are
-- applied, what sets or merges is refused whole.
local ends_first = not grows and ends > now + 1000
if ends_first then set_end(ends) end
write(names, staged, deadlines)
if not ends_first then set_end(ends) end
change_lists()
return answer
