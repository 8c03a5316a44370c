-- Bodies from files, by turns. Arguments: prefix of the files' names, which a number from 1 follows; how many; their
-- type; their encoding or `identity`; path, with a trailing slash if a sensor's id goes there; then also the first
-- sensor, how many there are, and how many of wrk's threads share them.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "report.lua")

local bodies = {}
local content_type, encoding, path, sensor, sensors, threads
local number = 0

local function read(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(args)
  for place = 1, tonumber(args[2]) do
    bodies[place] = read(args[1] .. place)
  end
  content_type, path = args[3], args[5]
  encoding = args[4] ~= "identity" and "Content-Encoding: " .. args[4] .. "\r\n" or ""
  sensor = tonumber(args[6] or 0) + thread_number
  sensors, threads = tonumber(args[7] or 0), tonumber(args[8] or 0)
end

function request()
  local body = bodies[number % #bodies + 1]
  number = number + 1
  local target = path
  if path:sub(-1) == "/" then
    -- Another sensor each time: requests have no reading in common, though the bodies come again.
    target = path .. sensor
    sensor = (sensor + threads - 1) % sensors + 1
  end
  return post_head(target, content_type, #body, encoding) .. body
end
