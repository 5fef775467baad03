-- The commonest commits, without the machinery that the others need: touches, and writes of values
-- that live as long as the session or whose time to live starts anew.
--
-- ARGV, in this order: commit id, '' for a touch; 'write'; verifier; how many values live as long as
-- the session, and for each its field and itself; and for each of the others its time to live, its
-- field and itself. No field is named twice, and no value begins with `@`.
-- Answers 'written', and leaves whatever is out of the ordinary to the rest of the script.

if ARGV[2] == 'write' then
  local id, verifier, lasting = ARGV[1], ARGV[3], tonumber(ARGV[4])
  local timed = 5 + 2 * lasting
  local kept = redis.pcall('HMGET', key, '@verifier', '@commits', '@created', '@seen', '@idle', '@end', '@sweep')
  local commits, created, seen = kept[2], number(kept[3]), number(kept[4])
  local idle, last, sweep = number(kept[5]), number(kept[6]), number(kept[7])
  if kept[1] == verifier
    and commits and (id == '' or not string.find(commits, id, 1, true))
    and created and seen and (idle or not kept[5]) and (last or not kept[6])
    and math.min(seen + (idle or math.huge), last or math.huge) > now
    and not (sweep and sweep <= now)
  then
    -- First what a full server refuses, so that it refuses the whole.
    redis.call('HSET', key, '@seen', text(now), '@commits', string.sub(commits .. id, -64),
      unpack(ARGV, 5, timed - 1))
    local tagged, swept_at = {}, sweep
    for i = timed, #ARGV, 3 do
      local deadline, name, value = math.min(now + ARGV[i], LATEST), ARGV[i + 1], ARGV[i + 2]
      if is_native then
        redis.call('HSETEX', key, 'PXAT', text(deadline), 'FIELDS', 1, name, value)
      else
        tagged[#tagged + 1] = name
        tagged[#tagged + 1] = '@' .. text(deadline) .. ' ' .. value
        sweep = math.min(deadline, sweep or deadline)
      end
    end
    if sweep ~= swept_at then
      tagged[#tagged + 1] = '@sweep'
      tagged[#tagged + 1] = text(sweep)
    end
    if #tagged > 0 then redis.call('HSET', key, unpack(tagged)) end
    local at = math.min(now + (idle or math.huge), last or math.huge)
    if at < math.huge then redis.call('PEXPIREAT', key, text(math.min(at, LATEST))) end
    return 'written'
  end

  -- The same as the rest of the script reads it.
  local count = lasting + (#ARGV - timed + 1) / 3
  arguments = { id, 'update', verifier, '', '', '', '', '', '', '', 0, count }
  local function add_set(name, value, ttl, restarts)
    for _, argument in ipairs({ 'set', name, value, ttl, restarts }) do
      arguments[#arguments + 1] = argument
    end
  end
  for i = 5, timed - 1, 2 do add_set(ARGV[i], ARGV[i + 1], '', '') end
  for i = timed, #ARGV, 3 do add_set(ARGV[i + 1], ARGV[i + 2], ARGV[i], '1') end
end
