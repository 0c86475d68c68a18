package booking

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules say how the rows of this slice end. A series holds no name;
// it names a person by an id that leads nowhere once the registration is gone.
func RetentionRules() []retention.Rule {
	const technical = "technical"
	del := func(sql string) func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
		return func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, sql, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		}
	}
	return []retention.Rule{
		{
			Name: "booking.series-unconfirmed", Table: "booking.series", Policy: technical, Why: "Holds that were never confirmed",
			Run: del(`DELETE FROM booking.series WHERE id IN (SELECT id FROM booking.series WHERE confirmed_at IS NULL AND ended_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.series", Table: "booking.series", Policy: "after-vaccination", Why: "Appointments that took place or were cancelled",
			Run: del(`DELETE FROM booking.series WHERE id IN (SELECT id FROM booking.series WHERE ended_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.appointment", Table: "booking.appointment", Policy: "after-vaccination", Why: "Goes with its series; a row without one is a mistake",
			Run: del(`DELETE FROM booking.appointment a WHERE a.id IN (
				SELECT a.id FROM booking.appointment a LEFT JOIN booking.series s ON s.id = a.series_id WHERE s.id IS NULL AND a.changed_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.idempotency", Table: "booking.idempotency", Policy: technical, Why: "A retry comes within minutes",
			Run: del(`DELETE FROM booking.idempotency WHERE (person_id, key) IN (SELECT person_id, key FROM booking.idempotency WHERE created_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.companion", Table: "booking.companion", Policy: technical, Why: "For whom somebody booked besides themselves; it counts for half an hour",
			Run: del(`DELETE FROM booking.companion WHERE person_id IN (SELECT person_id FROM booking.companion WHERE until_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.slot", Table: "booking.slot", Policy: "after-vaccination", Why: "Times that are past and that no appointment names any more",
			Run: del(`DELETE FROM booking.slot WHERE id IN (
				SELECT s.id FROM booking.slot s WHERE s.day < $1::date AND NOT EXISTS (SELECT 1 FROM booking.appointment a WHERE a.slot_id = s.id) LIMIT $2)`),
		},
		{
			Name: "booking.place", Table: "booking.place", Policy: technical, Why: "Rows of past days that were never taken; the others go with their slot",
			Run: del(`DELETE FROM booking.place WHERE (slot_id, channel, leg, first_day) IN (
				SELECT p.slot_id, p.channel, p.leg, p.first_day FROM booking.slot s JOIN booking.place p ON p.slot_id = s.id
				WHERE s.day < $1::date AND p.taken = 0 LIMIT $2)`),
		},
		{
			Name: "booking.shortfall", Table: "booking.shortfall", Policy: technical, Why: "Resolved shortfalls",
			Run: del(`DELETE FROM booking.shortfall WHERE id IN (SELECT id FROM booking.shortfall WHERE resolved_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.share_day", Table: "booking.share_day", Policy: technical, Why: "Exceptions of past days",
			Run: del(`DELETE FROM booking.share_day WHERE (centre_id, product_id, day, channel) IN (
				SELECT centre_id, product_id, day, channel FROM booking.share_day WHERE day < $1::date LIMIT $2)`),
		},
		{
			Name: "booking.shift", Table: "booking.shift", Policy: technical, Why: "Shifts of past days",
			Run: del(`DELETE FROM booking.shift WHERE id IN (SELECT id FROM booking.shift WHERE day < $1::date LIMIT $2)`),
		},
		{
			Name: "booking.contingent", Table: "booking.contingent", Policy: technical, Why: "Contingents of past days",
			Run: del(`DELETE FROM booking.contingent WHERE id IN (SELECT id FROM booking.contingent WHERE to_day < $1::date LIMIT $2)`),
		},
		{
			Name: "booking.quota_change", Table: "booking.quota_change", Policy: technical, Why: "Changes of quotas that nobody undoes any more; the audit has them",
			Run: del(`DELETE FROM booking.quota_change WHERE id IN (SELECT id FROM booking.quota_change WHERE at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.waiting", Table: "booking.waiting", Policy: technical, Why: "Entries of the waiting list that have ended; the others go with their registration",
			Run: del(`DELETE FROM booking.waiting WHERE id IN (SELECT id FROM booking.waiting WHERE ended_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.waiting_offer", Table: "booking.waiting_offer", Policy: technical, Why: "Offers that were answered or have lapsed; they go with their registration, too",
			Run: del(`DELETE FROM booking.waiting_offer WHERE id IN (SELECT id FROM booking.waiting_offer WHERE answered_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.waiting_asked", Table: "booking.waiting_asked", Policy: technical, Why: "Who could have been asked for an offer, so that the draw can be recomputed; ids only",
			Run: del(`DELETE FROM booking.waiting_asked WHERE offer_id IN (SELECT offer_id FROM booking.waiting_asked WHERE made_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.leftover_call", Table: "booking.leftover_call", Policy: technical, Why: "Calls about leftover doses of past days; they go with their registration, too",
			Run: del(`DELETE FROM booking.leftover_call WHERE id IN (SELECT id FROM booking.leftover_call WHERE called_at < $1 LIMIT $2)`),
		},
		{
			Name: "booking.proposal", Table: "booking.proposal", Policy: technical, Why: "Proposals for a shortfall that were confirmed or have ended; they go with their registration, too",
			Run: del(`DELETE FROM booking.proposal WHERE id IN (SELECT id FROM booking.proposal WHERE ended_at < $1 LIMIT $2)`),
		},
	}
}

// RetentionExempt lists the tables that hold nothing personal and stay.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "booking.channel", Why: "Configuration"},
		{Table: "booking.setting", Why: "Configuration"},
		{Table: "booking.share", Why: "Configuration"},
		{Table: "booking.returning", Why: "Ends by itself within minutes, when the places are free again"},
		{Table: "booking.returning_place", Why: "Goes with its row in booking.returning"},
		{Table: "booking.waiting_draw", Why: "One row per day, says nothing about anybody"},
		{Table: "booking.lane", Why: "Configuration"},
		{Table: "booking.release_rule", Why: "Configuration"},
		{Table: "booking.opening", Why: "Configuration"},
		{Table: "booking.moment", Why: "One row, a time only"},
		{Table: "booking.picture", Why: "One row, figures only"},
		{Table: "booking.plan", Why: "One row per centre and product, figures only"},
	}
}
