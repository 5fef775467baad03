
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
