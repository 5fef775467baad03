-- What a commit begins with: the session's key, the server's time, and what the other parts build on.

local key, arguments = KEYS[1], ARGV

local time = redis.call('TIME')
-- Milliseconds since the Unix epoch.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The latest deadline that all servers take; later ones count as this.
local LATEST = 70368744177663

-- A whole number as text: Lua's own conversion rounds large ones.
local function text(number)
  return string.format('%.0f', number)
end

-- A number of the header; nil where there is none, and where it is no number, which ruins a session.
local function number(kept)
  if not kept or #kept > 14 or not string.find(kept, '^%d+$') then return nil end
  return tonumber(kept)
end
