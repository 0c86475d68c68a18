package waitingroom

import "github.com/redis/go-redis/v9"

// The keys of a room share one hash tag, so that a cluster keeps them on one
// node and a script may use them together:
//
//	wr:{room}:s          hash    state: gen, ver, issued, serving, ceil, gaps, out, adm, buckets it/ia and dt/da
//	wr:{room}:inv        zset    batches of invitations: "upto|from|at", score upto
//	wr:{room}:left       hash    batch -> invitations of it that nobody has used yet
//	wr:{room}:act        zset    who is inside: "epoch.cohort.index", score end of the pass in microseconds
//	wr:{room}:used:EPOCH bitmap  indexes that came in (Postgres is the truth, this spares it)
//	wr:{room}:j:REPLICA  string  the last numbered batch of joins of a replica: "seq:first"
//
// Nothing in it grows with the number of people who wait, but one bit each for
// those who were inside.
//
// Every script begins with prelude. It takes
//
//	KEYS[1]  state
//	ARGV[1]  generation that the caller knows (waitingroom.line)
//	ARGV[2]  version of the valve that the caller knows (waitingroom.room)
//	ARGV[3]  offset of the portal's clock to the time of Redis, microseconds
//	ARGV[4]  highest index that the caller has ever seen given out
//
// and ends the script at once with
//
//	{"empty"}  the state is missing, of an older generation, or behind what was
//	           given out already: it must be rebuilt from Postgres
//	{"stale"}  the caller knows less than the state: it must read Postgres again
//
// Otherwise it leaves f (the fields of the state), now (microseconds), and the
// helpers below.
const prelude = `
local S = KEYS[1]
local f = {}
do
  local names = {'gen','ver','issued','serving','ceil','out','adm','it','ia','dt','da'}
  local raw = redis.call('HMGET', S, unpack(names))
  if not raw[1] then return {'empty'} end
  for i, name in ipairs(names) do f[name] = tonumber(raw[i]) end
end
do
  local gen, ver = tonumber(ARGV[1]), tonumber(ARGV[2])
  if f.gen > gen or (f.gen == gen and f.ver > ver) then return {'stale'} end
  if f.gen < gen or f.issued < tonumber(ARGV[4]) then return {'empty'} end
  if f.ver < ver then redis.call('HSET', S, 'ver', ver) end
end
` + clockLua

// clockLua reads the time; the tests that compare the scripts with admit.go put
// a clock of their own in its place.
const clockLua = `
local now
do
  local t = redis.call('TIME')
  now = tonumber(t[1]) * 1000000 + tonumber(t[2]) + tonumber(ARGV[3])
end
`

// rules is admit.go in Lua: Bucket.Refill, InviteSize, DoorSize, DoorRate,
// GapsBetween, Waiting, Land, Advance and Line.Tick. step(open, rate, bound, grace)
// needs KEYS[2] invitations, KEYS[3] left, KEYS[4] active; it leaves
// f.serving, f.out and f.active up to date.
const rules = `
local UNIT = 60000000
local function refill(tokens, at, rate, size)
  local passed = now - at
  if passed >= 0 then
    tokens = tokens + rate * math.min(passed, UNIT)
    at = now
  elseif passed < -2000000 then
    at = now
  end
  return math.min(tokens, size * UNIT), at
end
local gaps = {}
local function loadgaps()
  local text = redis.call('HGET', S, 'gaps')
  if text then
    for a, b in string.gmatch(text, '(%d+)-(%d+)') do gaps[#gaps+1] = {tonumber(a), tonumber(b)} end
  end
end
local function waiting()
  local n = f.issued - f.serving
  for _, g in ipairs(gaps) do
    n = n - math.max(0, math.min(g[2], f.issued) - math.max(g[1], f.serving + 1) + 1)
  end
  return math.max(0, n)
end
local function land(serving)
  for _, g in ipairs(gaps) do
    if g[1] <= serving + 1 and g[2] > serving then serving = g[2] end
  end
  return serving
end
local function advance(serving, n)
  for _, g in ipairs(gaps) do
    if g[2] > serving then
      local before = math.max(0, g[1] - 1 - serving)
      if n <= before then break end
      n = n - before
      serving = g[2]
    end
  end
  return land(serving + n)
end
local function step(open, rate, bound, grace)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  f.active = redis.call('ZCARD', KEYS[4])
  local out = f.out
  while true do
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
    if not oldest or tonumber(string.match(oldest, '(%d+)$')) + grace > now then break end
    out = out - tonumber(redis.call('HGET', KEYS[3], oldest) or 0)
    redis.call('ZREM', KEYS[2], oldest)
    redis.call('HDEL', KEYS[3], oldest)
  end
  local tokens, at = refill(f.it, f.ia, rate, math.max(1, math.floor(rate / 30)))
  if open then
    loadgaps()
    f.serving = land(f.serving)
    local n = math.min(math.floor(tokens / UNIT), waiting(), bound - f.active - out)
    if n > 0 then
      tokens = tokens - n * UNIT
      local from = f.serving
      f.serving = advance(from, n)
      local batch = string.format('%.0f|%.0f|%.0f', f.serving, from, now)
      redis.call('ZADD', KEYS[2], f.serving, batch)
      redis.call('HSET', KEYS[3], batch, n)
      out = out + n
    end
  end
  f.out = out
  redis.call('HSET', S, 'serving', f.serving, 'out', out, 'it', tokens, 'ia', at)
end
`

// restoreLua puts a state into Redis that was rebuilt from Postgres.
//
//	KEYS[1..4] state, invitations, left, active; KEYS[5] used
//	ARGV[1] generation, [2] version, [3] clock offset, [4] issued, [5] ceiling, [6] serving,
//	     [7] gaps "a-b,c-d", [8] "1" when nobody came in within the last minute: the buckets start full
//	     (their size is cut on first use), [9] admissions so far, then pairs of member, end of pass in microseconds
//	result 1, or 0 when a state of this or a later generation is there already
const restoreLua = `
local gen = tonumber(redis.call('HGET', KEYS[1], 'gen') or '-1')
if gen >= tonumber(ARGV[1]) then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2]) + tonumber(ARGV[3])
local tokens = 0
if ARGV[8] == '1' then tokens = 60000000 * 100000 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
redis.call('HSET', KEYS[1], 'gen', ARGV[1], 'ver', ARGV[2], 'issued', ARGV[4], 'ceil', ARGV[5], 'serving', ARGV[6],
  'gaps', ARGV[7], 'out', 0, 'adm', ARGV[9], 'it', tokens, 'ia', now, 'dt', tokens, 'da', now)
for i = 10, #ARGV, 2 do
  redis.call('ZADD', KEYS[4], ARGV[i+1], ARGV[i])
end
return 1
`

// joinLua gives out the next n numbers of the line. A replica numbers its
// batches and sends one at a time; the script remembers the last one, so a
// command that is sent again after a lost answer gets the same numbers.
//
//	KEYS[1] state, KEYS[2] last batch of this replica
//	ARGV[1..4] see prelude, [5] number of the batch, [6] n
//	result {"ok", first index, ceiling} or {"ceiling", issued, ceiling}: Postgres must allow more first
const joinLua = prelude + `
local last = redis.call('GET', KEYS[2])
if last then
  local seq, first = string.match(last, '^(%d+):(%d+)$')
  if seq == ARGV[5] then return {'ok', tonumber(first), f.ceil} end
end
local n = tonumber(ARGV[6])
if f.issued + n > f.ceil then return {'ceiling', f.issued, f.ceil} end
local first = f.issued + 1
redis.call('HINCRBY', S, 'issued', n)
redis.call('SET', KEYS[2], ARGV[5] .. ':' .. string.format('%.0f', first), 'PX', 600000)
return {'ok', first, f.ceil}
`

// raiseLua lifts the ceiling after Postgres has recorded it.
//
//	KEYS[1] state; ARGV[1..4] see prelude, [5] ceiling
//	result {"ok"}
const raiseLua = prelude + `
if tonumber(ARGV[5]) > f.ceil then redis.call('HSET', S, 'ceil', ARGV[5]) end
return {'ok'}
`

// tickLua ends what is over, invites whom the valve allows, and tells how the
// line stands. Any replica may call it at any time.
//
//	KEYS[1..4] state, invitations, left, active
//	ARGV[1..4] see prelude, [5] "1" when open, [6] rate per minute, [7] bound, [8] grace in microseconds
//	result {"ok", issued, serving, active, invited, admitted so far, ceiling, now in microseconds, gaps}
const tickLua = prelude + rules + `
step(ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
return {'ok', f.issued, f.serving, f.active, f.out, f.adm, f.ceil, now, redis.call('HGET', S, 'gaps') or ''}
`

// claimLua is the door: Line.Claim.
//
//	KEYS[1..4] state, invitations, left, active; KEYS[5] used
//	ARGV[1..8] as tickLua, [9] index, [10] member, [11] length of the pass in microseconds,
//	     [12] seconds to keep the bitmap of used tickets
//	result {verdict, end of the pass in microseconds, 1 when newly admitted}
const claimLua = prelude + rules + `
local open, rate, bound = ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7])
local index, member = tonumber(ARGV[9]), ARGV[10]
step(open, rate, bound, tonumber(ARGV[8]))
local until_ = redis.call('ZSCORE', KEYS[4], member)
if until_ then return {'in', tonumber(until_), 0} end
if redis.call('GETBIT', KEYS[5], index) == 1 then return {'used', 0, 0} end
if not open then return {'shut', 0, 0} end
if index > f.serving then return {'wait', 0, 0} end
if f.active >= bound then return {'full', 0, 0} end
local size = math.max(1, math.floor(rate / 60))
local tokens, at = refill(f.dt, f.da, rate - size + 1, size)
if tokens < UNIT then
  redis.call('HSET', S, 'dt', tokens, 'da', at)
  return {'busy', 0, 0}
end
redis.call('HSET', S, 'dt', tokens - UNIT, 'da', at)
local over = now + tonumber(ARGV[11])
redis.call('ZADD', KEYS[4], over, member)
redis.call('SETBIT', KEYS[5], index, 1)
redis.call('EXPIRE', KEYS[5], ARGV[12])
redis.call('HINCRBY', S, 'adm', 1)
local batch = redis.call('ZRANGEBYSCORE', KEYS[2], index, '+inf', 'LIMIT', 0, 1)[1]
if batch and tonumber(string.match(batch, '|(%d+)|')) < index and tonumber(redis.call('HGET', KEYS[3], batch)) > 0 then
  redis.call('HINCRBY', KEYS[3], batch, -1)
  redis.call('HINCRBY', S, 'out', -1)
end
return {'in', over, 1}
`

// leaveLua ends a stay. It looks at the state first, as every script does: a
// rebuild that read the pass as valid must not bring the seat back afterwards.
//
//	KEYS[1] state, KEYS[2] active; ARGV[1..4] see prelude, [5] member
//	result {"ok"}
const leaveLua = prelude + `
redis.call('ZREM', KEYS[2], ARGV[5])
return {'ok'}
`

// insideLua asks whether a pass still counts.
//
//	KEYS[1] state, KEYS[2] active; ARGV[1..4] see prelude, [5] member
//	result {"in"} or {"out"}
const insideLua = prelude + `
local over = redis.call('ZSCORE', KEYS[2], ARGV[5])
if over and tonumber(over) > now then return {'in'} end
return {'out'}
`

var (
	restoreScript = redis.NewScript(restoreLua)
	joinScript    = redis.NewScript(joinLua)
	raiseScript   = redis.NewScript(raiseLua)
	tickScript    = redis.NewScript(tickLua)
	claimScript   = redis.NewScript(claimLua)
	leaveScript   = redis.NewScript(leaveLua)
	insideScript  = redis.NewScript(insideLua)
)
