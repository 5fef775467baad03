-- What a commit begins with: the session's key, the server's time, and what the other parts build on.

local key = KEYS[1]

local time = redis.call('TIME')
-- Milliseconds since the Unix epoch.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The latest deadline that all servers take; later ones count as this.
local LATEST = 70368744177663

-- A whole number as text: Lua's own conversion rounds large ones.
local function text(number)
  return string.format('%.0f', number)
end

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
