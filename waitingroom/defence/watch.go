package defence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The window is kept in buckets of time, so that old arrivals leave it.
const (
	bucketLength = 5 * time.Second
	bucketCount  = int(Window / bucketLength)
	bucketKeep   = 2 * Window
	// late is how old the youngest arrival must be before its regularity is
	// judged: until then not every replica has told of its own.
	late = 2500 * time.Millisecond
	// chunk is how many networks one command takes.
	chunk = 400
)

// Hold is how long a verdict stays after the last finding.
const Hold = 5 * time.Minute

// Held is the verdict that all replicas go by.
type Held struct {
	On      bool
	Began   time.Time
	Last    time.Time // of the findings
	Reasons []Reason  // of the last finding
}

// Seen is what an exchange told.
type Seen struct {
	At      time.Time
	Signals Signals
	Held    Held
}

// Watch exchanges a replica's counts of one room with Redis. Exchange is for
// one caller at a time; the meter is for everybody.
type Watch struct {
	*Meter
	rdb     redis.UniversalClient
	prefix  string // of the room's keys, with its hash tag
	replica string

	seq    int64
	unsent []message // of an exchange whose answer did not come
}

// message is one command to Redis, numbered so that it may be sent again.
type message struct {
	seq  int64
	at   time.Time
	nets []netReport // of a chunk; nil = the sums
	sums report      // without its nets
}

// NewWatch makes the watch of a room. prefix begins its keys ("wr:{room}:");
// replica is unique among the replicas.
func NewWatch(rdb redis.UniversalClient, prefix, replica string, l Limits) *Watch {
	return &Watch{Meter: NewMeter(l), rdb: rdb, prefix: prefix + "d:", replica: replica}
}

// The keys of the defence of a room:
//
//	wr:{room}:d:r:REPLICA  string  number of the last message of a replica
//	wr:{room}:d:s:BUCKET   hash    sums, and joins by tenth of a second (field = its unix number)
//	wr:{room}:d:t:BUCKET   zset    the biggest networks -> joins
//	wr:{room}:d:h:BUCKET   HLL     networks
//	wr:{room}:d:l:NETWORK  hash    buckets of a network: when each is empty again; lives until then
//	wr:{room}:d:v          hash    the verdict: began, last, reasons; lives for Hold
//	wr:{room}:d:x:ID       string  a challenge that was solved; lives as long as the challenge
func (w *Watch) key(parts ...string) string { return w.prefix + strings.Join(parts, ":") }

func bucketAt(at time.Time) int64 { return at.UnixMicro() / bucketLength.Microseconds() }

// Exchange tells Redis what this replica has counted and returns what all
// replicas have. What could not be told is told the next time.
func (w *Watch) Exchange(ctx context.Context, now time.Time) (Seen, error) {
	// Old arrivals are of no use any more: they would come into the wrong time.
	w.unsent = slices.DeleteFunc(w.unsent, func(m message) bool { return now.Sub(m.at) > Window })
	if _, err := w.send(ctx, now); err != nil {
		return Seen{}, err
	}
	r := w.take(now)
	for part := range slices.Chunk(r.nets, chunk) {
		w.unsent = append(w.unsent, message{seq: w.next(), at: now, nets: part})
	}
	r.nets = nil
	w.unsent = append(w.unsent, message{seq: w.next(), at: now, sums: r})
	return w.send(ctx, now)
}

// send tells what is not told yet.
func (w *Watch) send(ctx context.Context, now time.Time) (seen Seen, err error) {
	for len(w.unsent) > 0 {
		if m := w.unsent[0]; m.nets != nil {
			err = w.sendNetworks(ctx, m, now)
		} else {
			seen, err = w.sendSums(ctx, m, now)
		}
		if err != nil {
			return Seen{}, err
		}
		w.unsent = w.unsent[1:]
	}
	return seen, nil
}

func (w *Watch) next() int64 { w.seq++; return w.seq }

// networksLua charges the buckets of networks with what happened.
//
//	KEYS[1] last message of this replica, [2...] one hash for each network
//	ARGV[1] number of the message, [2] now in microseconds, then for each network and each of its four
//	  buckets the time from which it fills, n * cost, deepest debt (all microseconds)
//	result for each network the four points in time when its buckets are empty (microseconds)
var networksScript = redis.NewScript(`
local now = tonumber(ARGV[2])
local again = tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1])
local out = {}
for i = 2, #KEYS do
  local a = 3 + (i - 2) * 12
  local old = redis.call('HMGET', KEYS[i], '0', '1', '2', '3')
  local tat, last = {}, now
  for k = 1, 4 do
    tat[k] = tonumber(old[k] or '0') or 0
    local since, cost, most = tonumber(ARGV[a + 3*k - 3]), tonumber(ARGV[a + 3*k - 2]), tonumber(ARGV[a + 3*k - 1])
    if tat[k] > now + most then tat[k] = 0 end -- the clock has gone back
    if not again and cost > 0 then
      tat[k] = math.min(math.max(tat[k], math.min(since, now)) + cost, now + most)
    end
    last = math.max(last, tat[k])
    out[#out+1] = tat[k]
  end
  if not again and last > now then
    redis.call('HSET', KEYS[i], '0', string.format('%.0f', tat[1]), '1', string.format('%.0f', tat[2]),
      '2', string.format('%.0f', tat[3]), '3', string.format('%.0f', tat[4]))
    redis.call('PEXPIRE', KEYS[i], math.ceil((last - now) / 1000))
  end
end
if not again then redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000) end
return out
`)

func (w *Watch) sendNetworks(ctx context.Context, m message, now time.Time) error {
	keys := make([]string, 0, len(m.nets)+1)
	keys = append(keys, w.key("r", w.replica))
	args := make([]any, 0, 2+len(m.nets)*3*bucketKinds)
	args = append(args, m.seq, now.UnixMicro())
	for _, n := range m.nets {
		keys = append(keys, w.key("l", n.net.String()))
		for kind, rule := range w.rulesOf(n.net) {
			args = append(args, n.since[kind], n.events[eventOf[kind]]*rule.cost, rule.most)
		}
	}
	tats, err := networksScript.Run(ctx, w.rdb, keys, args...).Int64Slice()
	if err != nil {
		return fmt.Errorf("exchange networks: %w", err)
	}
	if len(tats) != len(m.nets)*bucketKinds {
		return errors.New("exchange networks: short answer")
	}
	for i, n := range m.nets {
		w.learn(n.net, [bucketKinds]int64(tats[i*bucketKinds:]), now.UnixMicro())
	}
	return nil
}

// sendDistinct counts networks as seen in a bucket of time; once or twice is the same.
func (w *Watch) sendDistinct(ctx context.Context, m message) error {
	key := w.key("h", strconv.FormatInt(bucketAt(m.at), 10))
	_, err := w.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for part := range slices.Chunk(m.sums.distinct, 1000) {
			p.PFAdd(ctx, key, part...)
		}
		p.Expire(ctx, key, bucketKeep)
		return nil
	})
	if err != nil {
		return fmt.Errorf("exchange distinct networks: %w", err)
	}
	return nil
}

// sumsLua adds a replica's sums and returns those of the window, with the
// verdict as it stands.
//
//	KEYS[1] last message of this replica, [2] verdict, [3] hash of the message's bucket, [4] its networks,
//	  then for each bucket of the window: hash, networks, HLL
//	ARGV[1] number of the message, [2] seconds to keep, [3] how many networks to keep and to tell,
//	  [4] pairs of field and count that follow, these pairs, then pairs of network and joins
//	result {{field, count, ...}, {network, joins, ...} biggest first, distinct networks, {began, last, reasons}}
var sumsScript = redis.NewScript(`
local again = tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1])
local pairs_ = tonumber(ARGV[4])
if not again then
  for i = 5, 4 + 2 * pairs_, 2 do redis.call('HINCRBY', KEYS[3], ARGV[i], ARGV[i+1]) end
  for i = 5 + 2 * pairs_, #ARGV, 2 do redis.call('ZINCRBY', KEYS[4], ARGV[i+1], ARGV[i]) end
  redis.call('ZREMRANGEBYRANK', KEYS[4], 0, -1 - tonumber(ARGV[3]))
  redis.call('EXPIRE', KEYS[3], ARGV[2])
  redis.call('EXPIRE', KEYS[4], ARGV[2])
  redis.call('SET', KEYS[1], ARGV[1], 'PX', 600000)
end
local sums, tops, logs = {}, {}, {}
for i = 5, #KEYS, 3 do
  local h = redis.call('HGETALL', KEYS[i])
  for j = 1, #h, 2 do sums[h[j]] = (sums[h[j]] or 0) + tonumber(h[j+1]) end
  tops[#tops+1] = KEYS[i+1]
  logs[#logs+1] = KEYS[i+2]
end
local flat = {}
for field, n in pairs(sums) do flat[#flat+1] = field; flat[#flat+1] = n end
local joined = {}
for _, key in ipairs(tops) do
  local z = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  for j = 1, #z, 2 do joined[z[j]] = (joined[z[j]] or 0) + tonumber(z[j+1]) end
end
local order = {}
for net, n in pairs(joined) do order[#order+1] = {net, n} end
table.sort(order, function(a, b) if a[2] ~= b[2] then return a[2] > b[2] end return a[1] < b[1] end)
local top = {}
for i = 1, math.min(#order, tonumber(ARGV[3])) do top[#top+1] = order[i][1]; top[#top+1] = order[i][2] end
return {flat, top, redis.call('PFCOUNT', unpack(logs)), redis.call('HMGET', KEYS[2], 'began', 'last', 'reasons')}
`)

// fields of the sums, in the hash of a bucket. Fields of digits are slots.
func (s *sums) fields() map[string]*int64 {
	return map[string]*int64{
		"j": &s.joins, "k": &s.keyless, "l": &s.limited, "b": &s.behind, "p": &s.proven, "r": &s.refused, "a": &s.placed,
	}
}

func (w *Watch) sendSums(ctx context.Context, m message, now time.Time) (Seen, error) {
	if len(m.sums.distinct) > 0 {
		if err := w.sendDistinct(ctx, m); err != nil {
			return Seen{}, err
		}
	}
	own := strconv.FormatInt(bucketAt(m.at), 10)
	keys := []string{w.key("r", w.replica), w.key("v"), w.key("s", own), w.key("t", own)}
	for i := range int64(bucketCount) {
		b := strconv.FormatInt(bucketAt(now)-i, 10)
		keys = append(keys, w.key("s", b), w.key("t", b), w.key("h", b))
	}
	var pairs []any
	for field, n := range m.sums.sums.fields() {
		if *n != 0 {
			pairs = append(pairs, field, *n)
		}
	}
	for _, s := range m.sums.slots {
		pairs = append(pairs, s.slot, s.joins)
	}
	args := append([]any{m.seq, int64(bucketKeep.Seconds()), reported, len(pairs) / 2}, pairs...)
	for _, n := range m.sums.top {
		args = append(args, n.Network, n.Joins)
	}
	answer, err := sumsScript.Run(ctx, w.rdb, keys, args...).Slice()
	if err != nil {
		return Seen{}, fmt.Errorf("exchange sums: %w", err)
	}
	if len(answer) != 4 {
		return Seen{}, errors.New("exchange sums: short answer")
	}
	seen := Seen{At: now, Held: parseHeld(answer[3])}
	if now.Sub(seen.Held.Last) >= Hold { // Redis forgets it in the same moment, as far as it shares our clock
		seen.Held = Held{}
	}
	slots := map[int64]int64{}
	var total sums
	fields := total.fields()
	for field, n := range pairsOf(answer[0]) {
		if into := fields[field]; into != nil {
			*into = n
		} else if slot, err := strconv.ParseInt(field, 10, 64); err == nil {
			slots[slot] = n
		}
	}
	seen.Signals = total.signals()
	for net, n := range pairsOf(answer[1]) {
		seen.Signals.Top = append(seen.Signals.Top, Share{net, n})
	}
	seen.Signals.Networks, _ = answer[2].(int64)
	seen.Signals.Fine, seen.Signals.Coarse = disperse(slots, now)
	return seen, nil
}

func (s sums) signals() Signals {
	return Signals{Joins: s.joins, Keyless: s.keyless, Limited: s.limited, Behind: s.behind, Proven: s.proven, Refused: s.refused, Placed: s.placed}
}

// disperse measures the regularity of the joins by tenths of a second, those
// that every replica has told of.
func disperse(slots map[int64]int64, now time.Time) (fine, coarse Dispersion) {
	end := now.Add(-late).UnixMilli() / 1000 * 10 // whole seconds
	counts := make([]int64, int(Window/(100*time.Millisecond)))
	seconds := make([]int64, len(counts)/10)
	for i := range counts {
		n := slots[end-int64(len(counts))+int64(i)]
		counts[i] = n
		seconds[i/10] += n
	}
	return Disperse(counts), Disperse(seconds)
}

// pairsOf reads a flat list of names and numbers, in its order.
func pairsOf(answer any) func(yield func(string, int64) bool) {
	list, _ := answer.([]any)
	return func(yield func(string, int64) bool) {
		for i := 0; i+1 < len(list); i += 2 {
			name, _ := list[i].(string)
			n, _ := list[i+1].(int64)
			if !yield(name, n) {
				return
			}
		}
	}
}

// parseHeld reads the verdict's fields; the zero Held = there is none.
func parseHeld(answer any) (h Held) {
	list, _ := answer.([]any)
	text := func(i int) string {
		if i >= len(list) {
			return ""
		}
		s, _ := list[i].(string)
		return s
	}
	moment := func(i int) time.Time {
		us, err := strconv.ParseInt(text(i), 10, 64)
		if err != nil {
			return time.Time{}
		}
		return time.UnixMicro(us).UTC()
	}
	h.Began, h.Last = moment(0), moment(1)
	h.On = !h.Began.IsZero()
	if h.On {
		_ = json.Unmarshal([]byte(text(2)), &h.Reasons) // our own words; without them the verdict still holds
	}
	return h
}

// holdLua keeps the verdict on from the time of the last finding. A verdict
// that is on already keeps its beginning, and a later finding.
//
//	KEYS[1] verdict; ARGV[1] began, [2] time of the finding (microseconds), [3] reasons, [4] milliseconds to keep,
//	  [5] microseconds after which an old verdict is over
//	result {began, last, reasons}
var holdScript = redis.NewScript(`
local old = redis.call('HMGET', KEYS[1], 'began', 'last')
if not old[1] or not old[2] or tonumber(old[2]) + tonumber(ARGV[5]) <= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'began', ARGV[1])
end
if not old[2] or tonumber(old[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'last', ARGV[2], 'reasons', ARGV[3])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'began', 'last', 'reasons')
`)

// Keep keeps the verdict h on for [Hold] after h.Last and returns it as all
// replicas now see it. It does nothing once that time is over.
func (w *Watch) Keep(ctx context.Context, h Held, now time.Time) (Held, error) {
	left := Hold - now.Sub(h.Last)
	if left <= 0 {
		return Held{}, nil
	}
	reasons, err := json.Marshal(h.Reasons)
	if err != nil {
		return Held{}, err
	}
	answer, err := holdScript.Run(ctx, w.rdb, []string{w.key("v")}, h.Began.UnixMicro(), h.Last.UnixMicro(), reasons, left.Milliseconds(), Hold.Microseconds()).Slice()
	if err != nil {
		return Held{}, fmt.Errorf("keep the verdict: %w", err)
	}
	return parseHeld(answer), nil
}

// Spend marks a challenge as used; first reports whether it was not before.
// Sent again after a lost answer, it gives the same answer.
func (w *Watch) Spend(ctx context.Context, s *Solution, now time.Time) (first bool, err error) {
	ttl := s.Expires.Sub(now) + time.Second
	old, err := w.rdb.SetArgs(ctx, w.key("x", s.ID), s.attempt, redis.SetArgs{Mode: "NX", Get: true, TTL: max(ttl, time.Second)}).Result()
	if errors.Is(err, redis.Nil) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("spend a challenge: %w", err)
	}
	return old == s.attempt, nil
}
