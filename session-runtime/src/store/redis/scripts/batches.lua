
-- Commands with more words than Lua can pass at once.

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
