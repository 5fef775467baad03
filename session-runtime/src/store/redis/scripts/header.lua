
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
