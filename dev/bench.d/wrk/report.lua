-- What a run came to, as one line of JSON after wrk's own report.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'REPORT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, '
      .. '"refused": %d, "broken": %d}\n',
    summary.requests,
    summary.duration / 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    latency.max / 1e3,
    errors.status,
    errors.connect + errors.read + errors.write + errors.timeout
  ))
end

-- Numbers wrk's threads from 0: init sees `thread_number`.
local threads = 0
function setup(thread)
  thread:set("thread_number", threads)
  threads = threads + 1
end

-- The head of a POST; wrk.format costs a table walk for each request.
function post_head(path, content_type, length, more)
  return "POST " .. path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\nContent-Type: "
    .. content_type .. "\r\n" .. (more or "") .. "Content-Length: " .. length .. "\r\n\r\n"
end
