package issuer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"impfportal/certificate/issuer/brake"
	"impfportal/internal/clock"
)

// What is usual needs a history that no single issuer makes.
const (
	usualBack    = 28 // days looked back
	usualDays    = 20 // days of operators, at least
	usualIssuers = 5  // issuers, at least
)

// usual remembers what is usual for a kind of issuers, for a day.
type usual struct {
	mu     sync.Mutex
	byKind map[string]usualSeen
}

// usualSeen is the median of certificates for doses given elsewhere, over the days of
// operators who issued anything.
type usualSeen struct {
	day    time.Time
	median int
	known  bool // there is enough history
}

// of returns what is usual for a kind on the four weeks before the day of now. It reads
// a month of the rows of all issuers, so it does that once a day.
func (u *usual) of(ctx context.Context, s *Service, kind string, now time.Time) (usualSeen, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	day := today(now)
	if held, ok := u.byKind[kind]; ok && held.day.Equal(day) {
		return held, nil
	}
	var days, issuers int
	got := usualSeen{day: day}
	if err := s.Pool.QueryRow(ctx, `
		SELECT count(*), count(DISTINCT issuer_id), coalesce(percentile_disc(0.5) WITHIN GROUP (ORDER BY seen), 0)
		  FROM (SELECT x.issuer_id, count(*) FILTER (WHERE x.basis = 'seen') AS seen
		          FROM certificate.issuer_issue x JOIN certificate.issuer i ON i.id = x.issuer_id
		         WHERE i.kind = $1 AND x.at >= $2 AND x.at < $3 GROUP BY x.issuer_id, x.operator, (x.at AT TIME ZONE 'Europe/Berlin')::date) d`,
		kind, clock.At(day.AddDate(0, 0, -usualBack), 0, 0), clock.At(day, 0, 0)).Scan(&days, &issuers, &got.median); err != nil {
		return got, fmt.Errorf("what is usual for %s: %w", kind, err)
	}
	got.known = days >= usualDays && issuers >= usualIssuers
	if u.byKind == nil {
		u.byKind = map[string]usualSeen{}
	}
	u.byKind[kind] = got
	return got, nil
}

// watchedUsual trips when one operator certified far more doses given elsewhere than is
// usual. Without a history nothing is, and the number of a day (brake.SeenDay) counts alone.
func (s *Service) watchedUsual(ctx context.Context, i Issuer, t brake.Threshold, now time.Time) (*alarm, error) {
	var n int
	if err := s.Pool.QueryRow(ctx, `
		SELECT coalesce(max(n), 0) FROM (
			SELECT count(*) AS n FROM certificate.issuer_issue WHERE issuer_id = $1 AND at > $2 AND basis = 'seen' GROUP BY operator) o`,
		i.ID, now.Add(-t.Window)).Scan(&n); err != nil {
		return nil, fmt.Errorf("%s: %w", brake.SeenUsual, err)
	}
	if n == 0 || n < t.AtLeast {
		return nil, nil
	}
	usually, err := s.usual.of(ctx, s, i.Kind, now)
	if err != nil || !usually.known {
		return nil, err
	}
	if m := brake.Of(n, usually.median); t.Trips(m) {
		return &alarm{brake.SeenUsual, m}, nil
	}
	return nil, nil
}
