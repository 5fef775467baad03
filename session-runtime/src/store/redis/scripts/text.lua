
-- A whole number as text: Lua's own conversion rounds large ones.
local function text(number)
  return string.format('%.0f', number)
end
