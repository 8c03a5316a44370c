-- POST /sensor_data/{id}: one reading each, sensors by turns, never the same sensor and time twice.
-- Arguments: day of the readings, how many sensors.
dofile(debug.getinfo(1, "S").source:match("@(.*/)") .. "report.lua")

local BODY = '{"value":%.2f,"timestamp":"%sT%02d:%02d:%02d.%06d"}'
local day, sensors
local length
local number = 0

function init(args)
  day, sensors = args[1], tonumber(args[2])
  length = #BODY:format(10, day, 0, 0, 0, 0)
end

function request()
  local sensor, turn = number % sensors + 1, math.floor(number / sensors)
  number = number + 1
  local second = math.floor(turn / 1000)
  local body = BODY:format(
    10 + number * 7919 % 9000 / 100,
    day, thread_number, math.floor(second / 60), second % 60, turn % 1000 * 1000
  )
  return post_head("/sensor_data/" .. sensor, "application/json", length) .. body
end
