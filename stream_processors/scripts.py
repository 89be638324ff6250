"""The Lua scripts by which workers claim partitions, write and read: each is one call, on one slot.

`KEYS[1]` is always the partition's position: its hash tag says where in a cluster.
"""

import hashlib
from typing import Final

from contracts.keyspace import EPOCH_FIELD, NEXT_FIELD

# An epoch is also a time, so that a store which lost its data never gives the same one again.
CLAIM: Final = f"""
local stored = tonumber(redis.call('HGET', KEYS[1], '{EPOCH_FIELD}') or 0)
redis.call('HSET', KEYS[1], '{EPOCH_FIELD}', math.max(stored + 1, tonumber(ARGV[1])))
return redis.call('HGETALL', KEYS[1])
"""
# Does each of the commands, `contracts.commands`, and returns their answers.
# Lua cannot unpack much more than 4,000 at once; even, so that no HSET pair is split.
_EACH: Final = """
local function each(packed)
  local commands, answers, at = cmsgpack.unpack(packed), {}, 1
  while at <= #commands do
    local name, key, last = commands[at], commands[at + 1], at + 2 + commands[at + 2]
    local answer = redis.call(name, key, unpack(commands, at + 3, math.min(at + 4002, last)))
    for from = at + 4003, last, 4000 do
      local more = redis.call(name, key, unpack(commands, from, math.min(from + 3999, last)))
      if type(more) == 'table' then
        for _, value in ipairs(more) do answer[#answer + 1] = value end
      end
    end
    answers[#answers + 1] = answer
    at = last + 1
  end
  return answers
end
"""
# Writes and publishes nothing unless epoch and position are as the worker left them: returns 0 and
# both. Else returns 1, and why what was written could not be published: with an error in its place
# the worker would write it again.
WRITE: Final = f"""{_EACH}
local stored = redis.call('HMGET', KEYS[1], '{EPOCH_FIELD}', '{NEXT_FIELD}')
if stored[1] ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then
  return {{0, stored[1] or '', stored[2] or ''}}
end
each(ARGV[3])
local published = ARGV[4] ~= '' and redis.pcall('SPUBLISH', ARGV[4], ARGV[3])
return {{1, type(published) == 'table' and published.err or ''}}
"""
READ: Final = f"""{_EACH}
local answers = each(ARGV[1])
return {{answers, redis.call('HMGET', KEYS[1], '{EPOCH_FIELD}', '{NEXT_FIELD}')}}
"""

SHA: Final = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    for script in (WRITE, READ)
}
"""By which Redis calls a script that it has seen before."""
