-- GET of a path that ends with a sensor's id. Arguments: path with a trailing slash, first sensor, how many.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "report.lua")

local path, first, sensors
local number = 0

function init(args)
  path, first, sensors = args[1], tonumber(args[2]), tonumber(args[3])
end

function request()
  local sensor = first + number % sensors
  number = number + 1
  return "GET " .. path .. sensor .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n\r\n"
end
