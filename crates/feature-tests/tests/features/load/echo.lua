-- Calls the echo service.

require("common")

wrk.method = "POST"
wrk.headers["Rpc-Procedure"] = "echo"
wrk.body = string.rep("x", 1024)

function is_right(status, body)
  return status == 200 and body == wrk.body
end
