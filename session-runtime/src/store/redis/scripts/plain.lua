
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
