-- RegistryAttachment follows kstatus: Reconciling and Stalled are there only while they are True.
-- A deleted one is Progressing without this script being asked.
local function is(status, message)
  return {status = status, message = message}
end

if obj.spec ~= nil and obj.spec.suspend == true then
  return is("Suspended", "spec.suspend is true: nothing is granted and nothing is removed")
end

local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return is("Progressing", "Waiting for acr-attach to look at the newest spec")
end

local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function holds(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

if holds("Stalled") then
  return is("Degraded", conditions.Stalled.message)
end
if holds("Reconciling") then
  return is("Progressing", conditions.Reconciling.message)
end
if holds("Ready") then
  return is("Healthy", conditions.Ready.message)
end
if conditions.Ready ~= nil then
  return is("Progressing", conditions.Ready.message)
end
return is("Progressing", "Waiting for condition Ready")
