-- The header field `@`: text whose parts are at fixed positions. layout.rs has the table.

local sub = string.sub

-- A number in base 36, or nil. In two halves: some servers convert no more than 32 bits.
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

-- Milliseconds since the creation as `@` keeps them; a server's clock may have been set back.
local function since(created)
  return to_base36(math.min(math.max(now - created, 0), 2821109907455), 8)
end

local UNITS = { T = 1, S = 1000, M = 60000, H = 3600000, D = 86400000 }

-- A timeout in milliseconds: math.huge for none, nil for one that is kept elsewhere.
local function timeout(limit)
  if limit == 'none' then return math.huge end
  local count, unit = tonumber(sub(limit, 1, 3), 36), UNITS[sub(limit, 4)]
  return count and unit and count * unit
end

-- Moves the key's end; math.huge stands for none.
local function set_end(at)
  if at < math.huge then
    redis.call('PEXPIREAT', key, math.min(at, LATEST))
  else
    redis.call('PERSIST', key)
  end
end
