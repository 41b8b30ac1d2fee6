local actions = {}
local suspended = obj.spec.suspend == true
local phase = obj.status ~= nil and obj.status.phase or nil
local over = phase == "Succeeded" or phase == "Failed"

actions["suspend"] = { ["disabled"] = suspended or over }
actions["resume"] = { ["disabled"] = not suspended }
actions["refresh"] = { ["disabled"] = suspended or over }
return actions
