
-- Fields and their deadlines on a server that only knows deadlines of whole keys: a value with a
-- deadline is `@<deadline> <value>`. No JSON begins with `@`; another value that does is
-- `@ <value>`. `@sweep` is a moment before which no field ends, so that a commit need not read all.

-- A kept value's deadline, or nil, and the value.
local function decode(kept)
  local deadline, start = string.match(kept, '^@(%d*) ()')
  if not start then return nil, kept end
  return tonumber(deadline), sub(kept, start)
end

local function encode(value, deadline)
  if deadline then return '@' .. text(deadline) .. ' ' .. value end
  if string.byte(value) == 64 then return '@ ' .. value end
  return value
end

-- The value of a field and its deadline, where it has one, or nil.
local function fetch(name)
  local kept = redis.call('HGET', key, name)
  if not kept then return nil end
  local deadline, value = decode(kept)
  if deadline and deadline <= now then return nil end
  return value, deadline
end

-- The deadline of a field, or nil where it has none or is absent.
local function fetch_deadline(name)
  local _, deadline = fetch(name)
  return deadline
end

-- Which of these fields are present, each with its deadline.
local function fetch_present(names)
  local present = {}
  for _, name in ipairs(names) do
    local value, deadline = fetch(name)
    if value then present[#present + 1] = { name = name, deadline = deadline } end
  end
  return present
end

-- A header field's value with its deadline, for `write`, which adds the deadline.
local function with_deadline(value)
  return value
end

-- Writes fields, and removes those whose value is false and those whose time has come.
local function write(names, values, deadlines)
  local written, removed = {}, {}
  local kept_sweep = redis.call('HGET', key, '@sweep')
  local sweep = kept_sweep and #kept_sweep <= 14 and string.find(kept_sweep, '^%d+$') and tonumber(kept_sweep)
  local earliest = sweep
  if kept_sweep and not (sweep and sweep > now) then
    earliest = nil
    local kept = redis.call('HGETALL', key)
    for i = 1, #kept, 2 do
      local deadline = decode(kept[i + 1])
      if deadline and values[kept[i]] == nil then
        if deadline <= now then
          removed[#removed + 1] = kept[i]
        elseif not earliest or deadline < earliest then
          earliest = deadline
        end
      end
    end
  end
  for _, name in ipairs(names) do
    local value, deadline = values[name], deadlines[name]
    if not value then
      removed[#removed + 1] = name
    else
      written[#written + 1] = name
      written[#written + 1] = encode(value, deadline)
      if deadline and (not earliest or deadline < earliest) then earliest = deadline end
    end
  end
  if earliest and earliest ~= sweep then
    written[#written + 1] = '@sweep'
    written[#written + 1] = text(earliest)
  elseif kept_sweep and not earliest then
    removed[#removed + 1] = '@sweep'
  end
  -- First what a full server refuses, so that it refuses the whole.
  in_batches('HSET', written)
  in_batches('HDEL', removed)
end
