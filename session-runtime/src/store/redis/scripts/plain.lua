-- The short way for the commonest commits: touches, and writes of values that live as long as the
-- session or whose time to live starts anew.
--
-- It needs no pattern and builds nothing that the long way needs. What is out of the ordinary, it
-- leaves to the long way, which reads the same arguments; see commit.lua for their order.

local id, action, verifier = ARGV[1], ARGV[2], ARGV[3]
local rest, lasting = tonumber(ARGV[4]), tonumber(ARGV[5])
local first_group = 6 + 2 * lasting

if action == 'update' and not ARGV[rest] then
  local kept = redis.pcall('HMGET', key, '@', '@recent', '@sweep')
  local header, recent, sweep = kept[1] or '', kept[2] or '', tonumber(kept[3] or LATEST)
  local last, flags = sub(header, 23, 30), sub(header, 32, 32)
  local created, seen = from_base36(sub(header, 33, 41)), from_base36(sub(header, 42, 49))
  local idle, lifetime = timeout(sub(header, 50, 53)), timeout(sub(header, 54, 57))
  if #header > 57 and sub(header, 1, 22) == verifier
    and (flags == '0' or flags == '8')
    and (id == '' or (id ~= last and not string.find(recent, id, 1, true)))
    and created and seen and idle and lifetime
    and created + math.min(seen + idle, lifetime) > now
    and sweep and sweep > now
  then
    local ends = math.min(now + idle, created + lifetime)
    header = sub(header, 1, 22) .. (id == '' and last or id) .. sub(header, 31, 41)
      .. since(created) .. sub(header, 50)
    if id == '' then
      -- First what a full server accepts, so that it accepts the rest as well.
      if ends > now + 1000 then set_end(ends) end
      redis.call('HSET', key, '@', header)
    else
      -- First what a full server refuses, so that it refuses the whole.
      redis.call('HSET', key, '@', header, '@recent', sub(recent .. last, -56),
        unpack(ARGV, 6, first_group - 1))
    end
    local tagged, next_sweep = {}, sweep
    local at = first_group
    while at < rest do
      local deadline, last_of_group = math.min(now + ARGV[at], LATEST), at + 1 + 2 * ARGV[at + 1]
      if is_native then
        redis.call('HSETEX', key, 'PXAT', deadline, 'FIELDS', ARGV[at + 1],
          unpack(ARGV, at + 2, last_of_group))
      else
        for i = at + 2, last_of_group, 2 do
          tagged[#tagged + 1] = ARGV[i]
          tagged[#tagged + 1] = '@' .. text(deadline) .. ' ' .. ARGV[i + 1]
        end
        next_sweep = math.min(deadline, next_sweep)
      end
      at = last_of_group + 1
    end
    if next_sweep < sweep then
      tagged[#tagged + 1] = '@sweep'
      tagged[#tagged + 1] = text(next_sweep)
    end
    if #tagged > 0 then redis.call('HSET', key, unpack(tagged)) end
    if id ~= '' or ends <= now + 1000 then set_end(ends) end
    return now
  end
end
