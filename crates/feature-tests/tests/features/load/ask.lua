-- Asks for a path.

require("common")

function is_right(status, _)
  return status == 200
end
