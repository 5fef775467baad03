
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
