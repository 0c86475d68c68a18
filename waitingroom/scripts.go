package waitingroom

import "github.com/redis/go-redis/v9"

// The keys of a room share one hash tag, so that a cluster keeps them on one
// node and a script may use them together:
//
//	wr:{room}:s          hash    state, see below
//	wr:{room}:here       string  "process:generation" of the server process that the state was built on; not replicated, not in the append-only file
//	wr:{room}:act        zset    who is inside: "epoch.cohort.index", score end of the pass in microseconds
//	wr:{room}:door       zset    who was invited lately and found no seat, score until when it counts
//	wr:{room}:old        zset    invitations that are over and within their grace: "from|upto|at", score upto
//	wr:{room}:used:EPOCH bitmap  indexes that came in (Postgres is the truth, this spares it); one more for each lane beside the line
//	wr:{room}:j:GENERATION:REPLICA string the last numbered batch of joins of a replica: "seq:first"; jb: for places behind
//
// The state has the fields
//
//	gen, ver   generation of the state and version of the valve
//	n          changes in this generation: who has seen a higher one knows that this state is behind
//	issued, serving, ceil, gaps    the line; bi, bs, bc the same for places behind it
//	fresh      invitations of the last seconds: "from|upto|at|called|came," oldest first
//	adm, ns    admissions and no-shows so far
//	sn, sa     invitations that are over, and how many of them came (halved from time to time)
//	dl         delay between invitation and door, milliseconds
//	lc, lt, lm stays that had ended, when that was measured, ends of stays per minute
//	ca         moment of the last invitation
//	it/ia, dt/da, tt/ta, gt/ga     buckets (tokens, moment): invitations, door, late comers, guests
//
// Nothing in it grows with the number of people who wait, but one bit each for
// those who were inside.
//
// Every script begins with prelude. It takes
//
//	KEYS[1]  state
//	KEYS[2]  here
//	ARGV[1]  generation that the caller knows (waitingroom.line)
//	ARGV[2]  version of the valve that the caller knows (waitingroom.room)
//	ARGV[3]  offset of the portal's clock to the time of Redis, microseconds
//	ARGV[4]  highest n that the caller has seen in this generation
//
// and ends the script at once with
//
//	{"empty"}  the state is missing, of an older generation, behind what was seen
//	           of it, or in another server process than the one it was built in (a
//	           replica that took over, a restart from disk): it must be rebuilt from
//	           Postgres
//	{"stale"}  the caller knows less than the state: it must read Postgres again
//
// Otherwise it leaves f (the fields of the state), now (microseconds), and
// changed(), which counts a change. The second value of every answer is n.
const prelude = serverLua + `
local S = KEYS[1]
local f = {}
do
  local names = {'gen','ver','n','issued','serving','ceil','bi','bs','bc','adm','ns','sn','sa','dl','lc','lt','lm','ca','it','ia','dt','da','tt','ta','gt','ga'}
  local raw = redis.call('HMGET', S, unpack(names))
  if not raw[1] or redis.call('GET', KEYS[2]) ~= server .. ':' .. raw[1] then return {'empty'} end
  for i, name in ipairs(names) do f[name] = tonumber(raw[i]) end
end
do
  local gen, ver = tonumber(ARGV[1]), tonumber(ARGV[2])
  if f.gen > gen or (f.gen == gen and f.ver > ver) then return {'stale'} end
  if f.gen < gen or f.n < tonumber(ARGV[4]) then return {'empty'} end
  if f.ver < ver then redis.call('HSET', S, 'ver', ver) end
end
local function changed() f.n = redis.call('HINCRBY', S, 'n', 1) end
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

// serverLua names the process that the script runs in; no other one, and no
// later one on the same data, has this name.
const serverLua = `
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
`

// markLua sets the mark of this server, beside what is replicated or written
// down: whoever takes over from it does not have it. A full copy may carry the
// mark of another process, and a server that becomes master again its own of an
// earlier generation: so it names both.
const markLua = `
redis.set_repl(redis.REPL_NONE)
redis.call('SET', KEYS[2], server .. ':' .. redis.call('HGET', KEYS[1], 'gen'), 'PX', 600000)
redis.set_repl(redis.REPL_ALL)
`

// lookLua tells what stands in Redis, for who may have to rebuild it.
//
//	KEYS[1] state, [2] here
//	result {generation or -1, n, 1 when it was built in this server process}
const lookLua = serverLua + `
local s = redis.call('HMGET', KEYS[1], 'gen', 'n')
if not s[1] then return {-1, 0, 0} end
local here = redis.call('GET', KEYS[2]) == server .. ':' .. s[1]
return {tonumber(s[1]), tonumber(s[2]), here and 1 or 0}
`

// restoreLua puts a state into Redis that was rebuilt from Postgres.
//
//	KEYS[1..6] state, here, active, door, old, used
//	ARGV[1] generation, [2] version, [3] clock offset, [4] issued, [5] ceiling, [6] serving,
//	     [7] gaps "a-b,c-d", [8] "1" when nobody came in within the last minute: the buckets start full
//	     (their size is cut on first use), [9] admissions so far, [10] places behind given out, [11] of them invited,
//	     [12] how many invitations count as fresh, [13] first delay,
//	     then pairs of member, end of pass in microseconds
//	result 1, or 0 when a state of this or a later generation stands on this server already
const restoreLua = serverLua + `
local gen = tonumber(redis.call('HGET', KEYS[1], 'gen') or '-1')
if gen > tonumber(ARGV[1]) or (gen == tonumber(ARGV[1]) and redis.call('GET', KEYS[2]) == server .. ':' .. ARGV[1]) then return 0 end
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2]) + tonumber(ARGV[3])
local tokens = 0
if ARGV[8] == '1' then tokens = 60000000 * 100000 end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6])
local inside = 0
for i = 14, #ARGV, 2 do
  inside = inside + redis.call('ZADD', KEYS[3], ARGV[i+1], ARGV[i])
end
local serving, fresh = tonumber(ARGV[6]), ''
local from = math.max(0, serving - tonumber(ARGV[12]))
if from < serving then fresh = string.format('%.0f|%.0f|%.0f|0|0,', from, serving, now) end
redis.call('HSET', KEYS[1], 'gen', ARGV[1], 'ver', ARGV[2], 'n', 0, 'issued', ARGV[4], 'ceil', ARGV[5], 'serving', ARGV[6],
  'gaps', ARGV[7], 'bi', ARGV[10], 'bc', ARGV[10], 'bs', ARGV[11], 'fresh', fresh, 'adm', ARGV[9], 'ns', 0, 'sn', 0, 'sa', 0, 'dl', ARGV[13],
  'lc', tonumber(ARGV[9]) - inside, 'lt', now, 'lm', 0, 'ca', 0,
  'it', tokens, 'ia', now, 'dt', tokens, 'da', now, 'tt', tokens, 'ta', now, 'gt', tokens, 'ga', now)
` + markLua + `
return 1
`

// joinLua gives out the next n numbers of the line, or behind it. A replica
// numbers its batches and sends one at a time; the script remembers the last
// one, so a command that is sent again after a lost answer gets the same numbers.
// A command that lay in a stopped server's or a cut network's buffers until
// nobody waits for it any more gives out nothing.
//
//	KEYS[1] state, [2] here, [3] last batch of this replica
//	ARGV[1..4] see prelude, [5] number of the batch, [6] how many, [7] "line" or "behind",
//	     [8] microseconds until when somebody waits for the answer, 0 = not known
//	result {"ok", n, first index}, {"ceiling", n, issued}: Postgres must allow more first, or {"late", n}
const joinLua = prelude + `
local issued, ceil = 'issued', 'ceil'
if ARGV[7] == 'behind' then issued, ceil = 'bi', 'bc' end
local last = redis.call('GET', KEYS[3])
if last then
  local seq, first = string.match(last, '^(%d+):(%d+)$')
  if seq == ARGV[5] then return {'ok', f.n, tonumber(first)} end
  if tonumber(seq) > tonumber(ARGV[5]) then return {'late', f.n} end
end
local until_ = tonumber(ARGV[8])
if until_ > 0 and now > until_ then return {'late', f.n} end
local count = tonumber(ARGV[6])
if f[issued] + count > f[ceil] then return {'ceiling', f.n, f[issued]} end
local first = f[issued] + 1
redis.call('HINCRBY', S, issued, count)
redis.call('SET', KEYS[3], ARGV[5] .. ':' .. string.format('%.0f', first), 'PX', 600000)
changed()
return {'ok', f.n, first}
`

// raiseLua lifts a ceiling after Postgres has recorded it.
//
//	KEYS[1] state, [2] here; ARGV[1..4] see prelude, [5] ceiling, [6] "line" or "behind"
//	result {"ok", n}
const raiseLua = prelude + `
local ceil = 'ceil'
if ARGV[6] == 'behind' then ceil = 'bc' end
if tonumber(ARGV[5]) > f[ceil] then redis.call('HSET', S, ceil, ARGV[5]) end
return {'ok', f.n}
`

// gapsLua puts the gaps of the line in place, after Postgres has recorded them.
//
//	KEYS[1] state, [2] here; ARGV[1..4] see prelude, [5] gaps "a-b,c-d"
//	result {"ok", n}
const gapsLua = prelude + `
redis.call('HSET', S, 'gaps', ARGV[5])
changed()
return {'ok', f.n}
`

// leaveLua ends stays. It looks at the state first, as every script does: a
// rebuild that read the pass as valid must not bring the seat back afterwards.
//
//	KEYS[1] state, [2] here, [3] active; ARGV[1..4] see prelude, [5..] members
//	result {"ok", n}
const leaveLua = prelude + `
local left = 0
for i = 5, #ARGV do left = left + redis.call('ZREM', KEYS[3], ARGV[i]) end
if left > 0 then changed() end
return {'ok', f.n}
`

// extendLua lets a stay last until a later moment: Line.Extend.
//
//	KEYS[1] state, [2] here, [3] active; ARGV[1..4] see prelude, [5] member, [6] end in microseconds
//	result {"ok" or "out", n, end of the pass in microseconds}
const extendLua = prelude + `
local over = tonumber(redis.call('ZSCORE', KEYS[3], ARGV[5]) or '0')
if over <= now then return {'out', f.n, 0} end
if tonumber(ARGV[6]) > over then
  over = tonumber(ARGV[6])
  redis.call('ZADD', KEYS[3], over, ARGV[5])
  changed()
end
return {'ok', f.n, over}
`

// insideLua asks whether a pass still counts.
//
//	KEYS[1] state, [2] here, [3] active; ARGV[1..4] see prelude, [5] member
//	result {"in" or "out", n}
const insideLua = prelude + `
local over = redis.call('ZSCORE', KEYS[3], ARGV[5])
if over and tonumber(over) > now then return {'in', f.n} end
return {'out', f.n}
`

var (
	restoreScript = redis.NewScript(restoreLua)
	joinScript    = redis.NewScript(joinLua)
	raiseScript   = redis.NewScript(raiseLua)
	gapsScript    = redis.NewScript(gapsLua)
	tickScript    = redis.NewScript(tickLua)
	claimScript   = redis.NewScript(claimLua)
	leaveScript   = redis.NewScript(leaveLua)
	extendScript  = redis.NewScript(extendLua)
	insideScript  = redis.NewScript(insideLua)
	lookScript    = redis.NewScript(lookLua)
)
