-- The beginning of every script that needs the time.

local key = KEYS[1]

local time = redis.call('TIME')
-- Milliseconds since the Unix epoch.
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The latest deadline that all servers take; later ones count as this.
local LATEST = 70368744177663
