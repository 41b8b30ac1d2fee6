-- An ImageTask follows the conventions of kstatus: Ready is True when the task succeeded, Stalled is True when it failed or
-- cannot be followed, and observedGeneration is -1 until the operator has seen the object.
local health = { status = "Progressing", message = "Waiting for the operator to look at the task" }

if obj.status == nil or obj.status.conditions == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end

local conditions = {}
for _, condition in ipairs(obj.status.conditions) do
  conditions[condition.type] = condition
end

local ready, stalled = conditions["Ready"], conditions["Stalled"]
if ready == nil then
  return health
end

health.message = ready.message
if stalled ~= nil and stalled.status == "True" then
  health.status = "Degraded"
elseif ready.status == "True" then
  health.status = "Healthy"
elseif ready.reason == "Suspended" then
  health.status = "Suspended"
end
return health
