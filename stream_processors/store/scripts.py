"""The Lua scripts that claim partitions, read and write: each is one call, on one slot.

`KEYS[1]` is the partition's position, `KEYS[2]` its index, the others are the commands' keys. All
are declared: while a cluster moves the slot, some have moved and some have not, and it answers
TRYAGAIN instead of treating those as empty.
"""

import hashlib
from typing import Final

from contracts.keyspace import CHUNK_FIELD_PREFIX, EPOCH_FIELD, FLUSH_FIELD, FOLDING_FIELD

# Returns 0 and changes nothing if the state was folded with other settings. An epoch is also a
# time, so that a store that lost its data never issues the same one again. Leftover marks of chunks
# belong to an unfinished flush.
CLAIM: Final = f"""
local stored = redis.call('HMGET', KEYS[1], '{EPOCH_FIELD}', '{FOLDING_FIELD}')
if stored[2] and stored[2] ~= ARGV[2] then
  return {{0, stored[2]}}
end
redis.call('HSET', KEYS[1], '{EPOCH_FIELD}',
  string.format('%.0f', math.max((tonumber(stored[1]) or 0) + 1, tonumber(ARGV[1]))))
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
  if string.sub(field, 1, {len(CHUNK_FIELD_PREFIX)}) == '{CHUNK_FIELD_PREFIX}' then
    redis.call('HDEL', KEYS[1], field)
  end
end
return {{1, redis.call('HGETALL', KEYS[1])}}
"""
# Runs the commands, `stream_processors.store.chunks`, and returns their replies and the number of
# groups. With a limit on values, it stops after the group that reaches it. Lua cannot unpack much
# more than 4,000 at once; even, so that no HSET pair is split.
_EACH: Final = """
local function each(packed, enough)
  local commands, answers, at, key, group_end = cmsgpack.unpack(packed), {}, 1, 2, 0
  local values = 0
  while at <= #commands do
    if at > group_end then
      if enough and values >= enough then break end
      key, group_end, at = key + 1, at + commands[at], at + 1
    else
      local name, last = commands[at], at + 2 + commands[at + 2]
      local on = commands[at + 1] == 1 and KEYS[key] or KEYS[2]
      local answer = redis.call(name, on, unpack(commands, at + 3, math.min(at + 4002, last)))
      for from = at + 4003, last, 4000 do
        local more = redis.call(name, on, unpack(commands, from, math.min(from + 3999, last)))
        if type(more) == 'table' then
          for _, value in ipairs(more) do answer[#answer + 1] = value end
        end
      end
      answers[#answers + 1] = answer
      if enough then values = values + (type(answer) == 'table' and #answer or 1) end
      at = last + 1
    end
  end
  return answers, key - 2
end
"""
# Sets the fields and values of a hash, `stream_processors.store.chunks`: as many at once as above.
# They become arguments without a table in between, and numbers without being made strings in Lua.
_SET: Final = """
local function hset(key, at, ...)
  redis.call('HSET', key, ...)
  return at
end
local function set(key, packed)
  local at = 0
  while at >= 0 do at = hset(key, cmsgpack.unpack_limit(packed, 4000, at)) end
end
"""
_FENCE: Final = f"""
local stored = redis.call('HMGET', KEYS[1], '{EPOCH_FIELD}', '{FLUSH_FIELD}')
if stored[1] ~= ARGV[1] or (stored[2] or '') ~= ARGV[2] then
  return {{0, stored[1] or '', stored[2] or ''}}
end
"""
# Writes nothing unless epoch and last flush are as the worker left them: returns 0 and both.
# Otherwise marks the chunk as written, and returns 1 and the error of publishing it, if any: if the
# script failed instead, the worker would write the chunk again.
# ARGV: epoch, last flush, the chunk's field, the flush, commands, channel, message; and if any of
# the keys has packed fields, those of each.
WRITE: Final = f"""{_EACH}{_SET}{_FENCE}
each(ARGV[5])
for n = 8, #ARGV do
  if ARGV[n] ~= '' then set(KEYS[n - 5], ARGV[n]) end
end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[4])
local published = ARGV[6] ~= '' and redis.pcall('SPUBLISH', ARGV[6], ARGV[7])
return {{1, type(published) == 'table' and published.err or ''}}
"""
# Moves the position if all chunks of the flush are present: a replica that took over in the middle
# may have missed one. Returns 0 as WRITE does, -1 and the number of a chunk that is missing, or 1.
# ARGV: epoch, last flush, number of chunks, the flush, fields and values of the position.
COMMIT: Final = f"""{_FENCE}
local chunks = {{}}
for n = 1, tonumber(ARGV[3]) do
  chunks[n] = '{CHUNK_FIELD_PREFIX}' .. n
  if redis.call('HGET', KEYS[1], chunks[n]) ~= ARGV[4] then return {{-1, n}} end
end
for from = 5, #ARGV, 4000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, from, math.min(from + 3999, #ARGV)))
end
for from = 1, #chunks, 4000 do
  redis.call('HDEL', KEYS[1], unpack(chunks, from, math.min(from + 3999, #chunks)))
end
return {{1}}
"""
# Returns 1, the replies, and the number of groups, if epoch and last flush are as the worker left
# them, else 0 as WRITE does.
# ARGV: epoch, last flush, commands, the limit on values.
READ: Final = f"""{_EACH}{_FENCE}
local answers, groups = each(ARGV[3], tonumber(ARGV[4]))
return {{1, answers, groups}}
"""

SHA: Final = {
    script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
    for script in (CLAIM, WRITE, COMMIT, READ)
}
"""The hash by which Redis calls a cached script."""
