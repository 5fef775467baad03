-- How a field and its deadline are kept by a server that removes fields itself: the value as it is,
-- the deadline beside it. Fields are renewed by writing them again, never by HPEXPIRE, which on
-- some servers brings back what has expired.

-- The value of a field, or nil.
local function fetch(name)
  return redis.call('HGET', key, name) or nil
end

-- The deadline of a field, or nil where it has none or is absent.
local function fetch_deadline(name)
  local at = redis.call('HPEXPIRETIME', key, 'FIELDS', 1, name)[1]
  return at > 0 and at or nil
end

-- Writes and removes fields; `staged[name]` has a value, or none to remove it, and maybe a deadline.
local function write(names, staged)
  local lasting, removed, groups, deadlines = {}, {}, {}, {}
  for _, name in ipairs(names) do
    local field = staged[name]
    if not field.value or (field.deadline and field.deadline <= now) then
      removed[#removed + 1] = name
    else
      local group = lasting
      if field.deadline then
        group = groups[field.deadline]
        if not group then
          group = {}
          groups[field.deadline] = group
          deadlines[#deadlines + 1] = field.deadline
        end
      end
      group[#group + 1] = name
      group[#group + 1] = field.value
    end
  end
  -- First what a full server refuses, so that it refuses the whole.
  in_batches(lasting, function(...) redis.call('HSET', key, ...) end)
  for _, deadline in ipairs(deadlines) do
    in_batches(groups[deadline], function(...)
      redis.call('HSETEX', key, 'PXAT', text(deadline), 'FIELDS', select('#', ...) / 2, ...)
    end)
  end
  in_batches(removed, function(...) redis.call('HDEL', key, ...) end)
end
