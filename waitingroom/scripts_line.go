package waitingroom

// rulesLua is admit.go in Lua: the buckets, the arithmetic of gaps, and
// Line.Tick. step(open, rate, bound, grace) needs KEYS[3] active, [4] door,
// [5] old; it leaves f, fresh, active and knocking up to date in Redis.
const rulesLua = `
local UNIT, SHOW, WINDOW, KNOCK, SLACK = 60000000, 1024, 15000000, 10000000, 2000000
local floor, min, max = math.floor, math.min, math.max
local set = {}
local function refill(tokens, at, rate, size)
  local passed = now - at
  if passed >= 0 then
    tokens = tokens + rate * min(passed, UNIT)
    at = now
  elseif passed < -SLACK then
    at = now
  end
  return min(tokens, size * UNIT), at
end
local function doorsize(rate) return max(1, floor(rate / 60)) end
local gaps = {}
do
  local text = redis.call('HGET', S, 'gaps')
  if text then
    for a, b in string.gmatch(text, '(%d+)-(%d+)') do gaps[#gaps+1] = {tonumber(a), tonumber(b)} end
  end
end
local function waiting()
  local n = f.issued - f.serving
  for _, g in ipairs(gaps) do
    n = n - max(0, min(g[2], f.issued) - max(g[1], f.serving + 1) + 1)
  end
  return max(0, n)
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
      local before = max(0, g[1] - 1 - serving)
      if n <= before then break end
      n = n - before
      serving = g[2]
    end
  end
  return land(serving + n)
end
local fresh = {}
for from, upto, at, called, came in string.gmatch(redis.call('HGET', S, 'fresh') or '', '(%d+)|(%d+)|(%d+)|(%d+)|(%d+),') do
  fresh[#fresh+1] = {from = tonumber(from), upto = tonumber(upto), at = tonumber(at), called = tonumber(called), came = tonumber(came)}
end
local function show() return max(SHOW / 8, floor((f.sa + 8) * SHOW / (f.sn + 8))) end
local function expected()
  local sum, s = 0, show()
  for _, b in ipairs(fresh) do sum = sum + max(0, b.called * s - b.came * SHOW) end
  return floor((sum + SHOW - 1) / SHOW)
end
local function call(n)
  local from = f.serving
  f.serving, f.ca = advance(from, n), now
  local last = fresh[#fresh]
  if last and now >= last.at and now < last.at + 1000000 and last.upto == from then
    last.upto = f.serving
    last.called = last.called + n
    return
  end
  fresh[#fresh+1] = {from = from, upto = f.serving, at = now, called = n, came = 0}
end
local active, knocking
local function settle(rate, grace)
  while fresh[1] and fresh[1].at + min(WINDOW, grace) <= now do
    local b = table.remove(fresh, 1)
    local came = min(b.came, b.called)
    f.sn = f.sn + b.called
    f.sa = f.sa + came
    f.ns = f.ns + b.called - came
    if f.sn > max(200, rate) then f.sn, f.sa = floor(f.sn / 2), floor(f.sa / 2) end
    redis.call('ZADD', KEYS[5], b.upto, string.format('%.0f|%.0f|%.0f', b.from, b.upto, b.at))
  end
  while true do
    local oldest = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
    if not oldest or tonumber(string.match(oldest, '(%d+)$')) + grace > now then break end
    redis.call('ZREM', KEYS[5], oldest)
  end
end
local function invite(open, rate, bound)
  local s = show()
  local quick = floor(rate * SHOW / s)
  f.it, f.ia = refill(f.it, f.ia, quick, max(1, floor(quick / 30)))
  if not open or now == f.ca then return end
  f.serving = land(f.serving)
  local want = bound - active - knocking - expected() + min(floor(bound / 2), floor(f.lm * f.dl / 60000)) + floor(bound / 50)
  want = min(want, 2 * doorsize(rate) - knocking)
  if want <= 0 then return end
  local n = min(floor(f.it / UNIT), waiting(), floor(want * SHOW / s))
  if n > 0 then
    f.it = f.it - n * UNIT
    call(n)
    changed()
    want = want - floor(n * s / SHOW)
  end
  if waiting() == 0 then
    n = min(floor(f.it / UNIT), f.bi - f.bs, want)
    if n > 0 then
      f.it = f.it - n * UNIT
      f.bs = f.bs + n
      f.ca = now
      changed()
    end
  end
end
local function step(open, rate, bound, grace)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now)
  active, knocking = redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4])
  local left, passed = f.adm - active, now - f.lt
  if passed >= 1000000 then
    local leaving = floor(max(0, left - f.lc) * UNIT / passed)
    if passed < 8000000 then leaving = floor((3 * f.lm + leaving) / 4) end
    f.lm, f.lc, f.lt = leaving, left, now
  elseif passed < -SLACK then
    f.lc, f.lt = left, now
  end
  settle(rate, grace)
  invite(open, rate, bound)
end
local function store()
  local text = {}
  for _, b in ipairs(fresh) do text[#text+1] = string.format('%.0f|%.0f|%.0f|%.0f|%.0f,', b.from, b.upto, b.at, b.called, b.came) end
  redis.call('HSET', S, 'serving', f.serving, 'bs', f.bs, 'fresh', table.concat(text), 'adm', f.adm, 'ns', f.ns, 'sn', f.sn, 'sa', f.sa,
    'dl', f.dl, 'lc', f.lc, 'lt', f.lt, 'lm', f.lm, 'ca', f.ca, 'it', f.it, 'ia', f.ia, 'dt', f.dt, 'da', f.da, 'tt', f.tt, 'ta', f.ta, 'gt', f.gt, 'ga', f.ga)
end
`

// tickLua ends what is over, invites whom the valve allows, and tells how the
// line stands. Any replica may call it at any time.
//
//	KEYS[1..5] state, here, active, door, old
//	ARGV[1..4] see prelude, [5] "1" when open, [6] rate per minute, [7] bound, [8] grace in microseconds, [9] percent for guests
//	result {"ok", n, issued, serving, active, invited lately and still expected, admitted so far, ceiling, now in microseconds, gaps,
//	     no-shows so far, share of invited people who come in 1/1024, at the door without a seat,
//	     places behind: given out, invited, ceiling}
const tickLua = prelude + rulesLua + `
step(ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]))
store()
` + markLua + `
return {'ok', f.n, f.issued, f.serving, active, expected(), f.adm, f.ceil, now, redis.call('HGET', S, 'gaps') or '',
  f.ns, show(), knocking, f.bi, f.bs, f.bc}
`

// claimLua is the door: Line.Claim.
//
//	KEYS[1..6] state, here, active, door, old, used
//	ARGV[1..9] as tickLua, [10] lane, [11] position in the lane, [12] member, [13] index, [14] length of the pass in microseconds,
//	     [15] seconds to keep the bitmap of used tickets
//	result {verdict, n, end of the pass in microseconds}
const claimLua = prelude + rulesLua + `
local open, rate, bound, guests = ARGV[5] == '1', tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[9])
local lane, pos, member, index = ARGV[10], tonumber(ARGV[11]), ARGV[12], tonumber(ARGV[13])
step(open, rate, bound, tonumber(ARGV[8]))
local function answer(verdict, over)
  store()
  return {verdict, f.n, over or 0}
end
local inside = redis.call('ZSCORE', KEYS[3], member)
if inside then return answer('in', tonumber(inside)) end
if redis.call('GETBIT', KEYS[6], index) == 1 then return answer('used') end
if not open then return answer('shut') end
local mine, old
if lane == 'line' then
  if pos > f.serving then return answer('wait') end
  for _, b in ipairs(fresh) do
    if b.from < pos and pos <= b.upto then mine = b end
  end
  local b = redis.call('ZRANGEBYSCORE', KEYS[5], pos, '+inf', 'LIMIT', 0, 1)[1]
  old = b and tonumber(string.match(b, '^(%d+)')) < pos
elseif lane == 'behind' then
  if pos > f.bs then return answer('wait') end
end
local stands = redis.call('ZSCORE', KEYS[4], member)
local late = not mine and not stands and lane ~= 'guest'
local function knock()
  if mine or stands then redis.call('ZADD', KEYS[4], now + KNOCK, member) end
end
if active >= bound then
  knock()
  return answer('full')
end
if late and not old and active + knocking >= bound then return answer('full') end
local size = doorsize(rate)
f.dt, f.da = refill(f.dt, f.da, rate - size + 1, size)
if f.dt < UNIT then
  knock()
  return answer('busy')
end
if late and (knocking > 0 or waiting() > 0) then
  local part = max(1, floor(rate / 4))
  f.tt, f.ta = refill(f.tt, f.ta, part, doorsize(part))
  if f.tt < UNIT then return answer('busy') end
  f.tt = f.tt - UNIT
end
if lane == 'guest' then
  local part = max(1, floor(rate * guests / 100))
  f.gt, f.ga = refill(f.gt, f.ga, part, doorsize(part))
  if f.gt < UNIT then return answer('busy') end
  f.gt = f.gt - UNIT
end
f.dt = f.dt - UNIT
local over = now + tonumber(ARGV[14])
redis.call('ZADD', KEYS[3], over, member)
redis.call('SETBIT', KEYS[6], index, 1)
redis.call('EXPIRE', KEYS[6], ARGV[15])
redis.call('ZREM', KEYS[4], member)
f.adm = f.adm + 1
if mine then
  mine.came = mine.came + 1
  f.dl = floor((31 * f.dl + floor(max(0, now - mine.at) / 1000)) / 32)
elseif lane == 'line' then
  f.ns = max(0, f.ns - 1)
  if stands then f.sa = min(f.sn, f.sa + 1) end
end
changed()
return answer('in', over)
`
