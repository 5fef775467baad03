-- The beginning of every script that needs the time.

local key = KEYS[1]

local time = redis.call('TIME')
-- Milliseconds since the Unix epoch.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The latest deadline that all servers take; later ones count as this.
local LATEST = 70368744177663

local is_native = true

-- The short way for the commonest commits: touches, and writes of values that live as long as the
-- session or whose time to live starts anew.
--
-- It needs no pattern and builds nothing that only the long way needs: each function that is made
-- and each loop shows in what a commit costs. What is out of the ordinary it leaves to the long way,
-- which reads the same arguments; commit.lua has their order, and layout.rs the parts of `@`.

local sub = string.sub
local id, action, verifier = ARGV[1], ARGV[2], ARGV[3]
local rest, lasting = tonumber(ARGV[4]), tonumber(ARGV[5])
local first_group = 6 + 2 * lasting

-- Milliseconds since the creation as eight digits of the base 36; a clock may have been set back.
local function since(created)
  local n = math.min(math.max(now - created, 0), 2821109907455)
  local a = n % 36
  n = (n - a) / 36
  local b = n % 36
  n = (n - b) / 36
  local c = n % 36
  n = (n - c) / 36
  local d = n % 36
  n = (n - d) / 36
  local e = n % 36
  n = (n - e) / 36
  local f = n % 36
  n = (n - f) / 36
  local g = n % 36
  n = (n - g) / 36
  return string.char(n < 10 and n + 48 or n + 87, g < 10 and g + 48 or g + 87, f < 10 and f + 48 or f + 87,
    e < 10 and e + 48 or e + 87, d < 10 and d + 48 or d + 87, c < 10 and c + 48 or c + 87,
    b < 10 and b + 48 or b + 87, a < 10 and a + 48 or a + 87)
end

-- A timeout in milliseconds: math.huge for none, nil for one that is kept elsewhere.
local function timeout(limit)
  local count, unit = tonumber(sub(limit, 1, 3), 36), sub(limit, 4)
  -- A number with a sign is a very large one.
  if not count or count > 46655 then return nil end
  if unit == 'M' then return count * 60000 end
  if unit == 'D' then return count * 86400000 end
  if unit == 'H' then return count * 3600000 end
  if unit == 'S' then return count * 1000 end
  if unit == 'T' then return count end
  return limit == 'none' and math.huge or nil
end

if action == 'update' and not ARGV[rest] then
  local kept = is_native and redis.pcall('HMGET', key, '@', '@recent')
    or redis.pcall('HMGET', key, '@', '@recent', '@sweep')
  local header, recent, sweep = kept[1] or '', kept[2] or '', tonumber(kept[3] or LATEST)
  local last, flags = sub(header, 23, 30), sub(header, 32, 32)
  -- In halves: some servers convert no more than 32 bits.
  local high, low = tonumber(sub(header, 33, 36), 36), tonumber(sub(header, 37, 41), 36)
  local seen_high, seen_low = tonumber(sub(header, 42, 45), 36), tonumber(sub(header, 46, 49), 36)
  local idle, lifetime = timeout(sub(header, 50, 53)), timeout(sub(header, 54, 57))
  if #header > 57 and sub(header, 1, 22) == verifier
    and (flags == '0' or flags == '8')
    and (id == '' or (id ~= last and not string.find(recent, id, 1, true)))
    and high and low and seen_high and seen_low and idle and lifetime
    and sweep and sweep > now
  then
    local created = high * 60466176 + low
    if created <= LATEST and created + math.min(seen_high * 1679616 + seen_low + idle, lifetime) > now then
      local ends = math.min(now + idle, created + lifetime)
      header = sub(header, 1, 22) .. (id == '' and last or id) .. sub(header, 31, 41)
        .. since(created) .. sub(header, 50)
      -- A touch begins with what a full server accepts, so that it accepts the rest as well.
      local ends_first = id == '' and ends > now + 1000
      if ends_first then
        if ends < math.huge then
          redis.call('PEXPIREAT', key, math.min(ends, LATEST))
        else
          redis.call('PERSIST', key)
        end
      end
      if id == '' then
        redis.call('HSET', key, '@', header)
      else
        -- First what a full server refuses, so that it refuses the whole.
        redis.call('HSET', key, '@', header, '@recent', sub(recent .. last, -56), unpack(ARGV, 6, first_group - 1))
      end
      local tagged, next_sweep = nil, sweep
      local at = first_group
      while at < rest do
        local deadline, last_of_group = math.min(now + ARGV[at], LATEST), at + 1 + 2 * ARGV[at + 1]
        if is_native then
          redis.call('HSETEX', key, 'PXAT', deadline, 'FIELDS', ARGV[at + 1], unpack(ARGV, at + 2, last_of_group))
        else
          tagged = tagged or {}
          local tag = '@' .. string.format('%.0f', deadline) .. ' '
          for i = at + 2, last_of_group, 2 do
            tagged[#tagged + 1] = ARGV[i]
            tagged[#tagged + 1] = tag .. ARGV[i + 1]
          end
          next_sweep = math.min(deadline, next_sweep)
        end
        at = last_of_group + 1
      end
      if next_sweep < sweep then
        tagged[#tagged + 1] = '@sweep'
        tagged[#tagged + 1] = string.format('%.0f', next_sweep)
      end
      if tagged then redis.call('HSET', key, unpack(tagged)) end
      if not ends_first and ends < math.huge then redis.call('PEXPIREAT', key, math.min(ends, LATEST)) end
      return now
    end
  end
end

-- A whole number as text: Lua's own conversion rounds large ones.
local function text(number)
  return string.format('%.0f', number)
end

-- More of `@`, for the long way.

-- A number in base 36, or nil.
local function from_base36(digits)
  local high, low = tonumber('0' .. sub(digits, 1, -6), 36), tonumber(sub(digits, -5), 36)
  return high and low and high * 60466176 + low
end

local function to_base36(number, length)
  local digits = ''
  for _ = 1, length do
    local digit = number % 36
    digits = string.char(digit < 10 and digit + 48 or digit + 87) .. digits
    number = (number - digit) / 36
  end
  return digits
end

-- Moves the key's end; math.huge stands for none.
local function set_end(at)
  if at < math.huge then
    redis.call('PEXPIREAT', key, math.min(at, LATEST))
  else
    redis.call('PERSIST', key)
  end
end

-- Commands with more words than Lua can pass at once.

-- Runs a command on the key with all items, an even number of them at a time, as many as Lua can
-- pass. With options it is a command that takes the options and the number of pairs first.
local function in_batches(command, items, ...)
  for first = 1, #items, 4000 do
    local last = math.min(first + 3999, #items)
    if ... then
      local words = { command, key, ... }
      words[#words + 1] = (last - first + 1) / 2
      for i = first, last do words[#words + 1] = items[i] end
      redis.call(unpack(words))
    else
      redis.call(command, key, unpack(items, first, last))
    end
  end
end

-- Fields and their deadlines on a server that removes fields itself: the value as it is, the
-- deadline beside it. Fields are renewed by writing them again, never by HPEXPIRE, which on some
-- servers brings back what has expired.

-- The value of a field, or nil.
local function fetch(name)
  return redis.call('HGET', key, name) or nil
end

-- The deadline of a field, or nil where it has none or is absent.
local function fetch_deadline(name)
  local at = redis.call('HPEXPIRETIME', key, 'FIELDS', 1, name)[1]
  return at > 0 and at or nil
end

-- Which of these fields are present, each with its deadline.
local function fetch_present(names)
  local present = {}
  for first = 1, #names, 4000 do
    local last = math.min(first + 3999, #names)
    local deadlines = redis.call('HPEXPIRETIME', key, 'FIELDS', last - first + 1, unpack(names, first, last))
    for i = first, last do
      local at = deadlines[i - first + 1]
      if at ~= -2 then present[#present + 1] = { name = names[i], deadline = at > 0 and at or nil } end
    end
  end
  return present
end

-- A header field's value with its deadline, for `write`.
local function with_deadline(value, deadline)
  return '@' .. text(deadline) .. ' ' .. value
end

-- Writes fields, and removes those whose value is false.
local function write(names, values, deadlines)
  local lasting, removed, groups = {}, {}, {}
  for _, name in ipairs(names) do
    local value, deadline = values[name], deadlines[name]
    if not value then
      removed[#removed + 1] = name
    else
      local group = lasting
      if deadline then
        group = groups[deadline] or {}
        groups[deadline] = group
      end
      group[#group + 1] = name
      group[#group + 1] = value
    end
  end
  -- First what a full server refuses, so that it refuses the whole.
  in_batches('HSET', lasting)
  for deadline, group in pairs(groups) do
    in_batches('HSETEX', group, 'PXAT', deadline, 'FIELDS')
  end
  in_batches('HDEL', removed)
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

-- Exact arithmetic on 64-bit integers as decimal text: Lua's own numbers are doubles.

-- Splits text into its sign and two halves of at most ten digits, each exact as a double.
local function split(text)
  local sign, digits = 1, text
  if string.sub(text, 1, 1) == '-' then sign, digits = -1, string.sub(text, 2) end
  return sign * tonumber('0' .. string.sub(digits, 1, -11)), sign * tonumber(string.sub(digits, -10))
end

-- Whether the sum of two such texts, and so each of them, is exact as a double.
local function is_short(a, b)
  return #a < 15 and #b < 15
end

local function compare(a, b)
  if is_short(a, b) then
    local x, y = tonumber(a), tonumber(b)
    return x < y and -1 or x > y and 1 or 0
  end
  local high_a, low_a = split(a)
  local high_b, low_b = split(b)
  if high_a ~= high_b then return high_a < high_b and -1 or 1 end
  if low_a ~= low_b then return low_a < low_b and -1 or 1 end
  return 0
end

local function add(a, b)
  if is_short(a, b) then return text(a + b) end
  local high_a, low_a = split(a)
  local high_b, low_b = split(b)
  local high, low, sign = high_a + high_b, low_a + low_b, ''
  if high < 0 or (high == 0 and low < 0) then high, low, sign = 0 - high, 0 - low, '-' end
  if low < 0 then high, low = high - 1, low + 1e10 end
  if low >= 1e10 then high, low = high + 1, low - 1e10 end
  if high == 0 then return sign .. string.format('%.0f', low) end
  return sign .. string.format('%.0f%010.0f', high, low)
end

local MIN, MAX = '-9223372036854775808', '9223372036854775807'

-- Whether text is the one spelling of an integer that fits 64 bits.
local function is_integer(text)
  if text ~= '0' and not string.find(text, '^-?[1-9]%d*$') then return false end
  return #text < 19 or (compare(text, MIN) >= 0 and compare(text, MAX) <= 0)
end

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
