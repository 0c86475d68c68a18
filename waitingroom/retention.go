package waitingroom

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/retention"
)

// RetentionRules ends the rows of admissions once no ticket can be presented
// again. They name no person.
func RetentionRules() []retention.Rule {
	return []retention.Rule{{
		Name: "waitingroom.pass", Table: "waitingroom.pass", Why: "a used ticket must stay used as long as it could be shown again; afterwards the row has no use",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			// A ticket lives for TicketLife, its pass a day at most.
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.pass WHERE id IN (
					SELECT id FROM waitingroom.pass WHERE entered_at < $1 ORDER BY entered_at LIMIT $2)`,
				now.Add(-TicketLife-25*time.Hour), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.holder", Table: "waitingroom.holder", Why: "whose place is whose in a room that demands login, as long as its ticket can be shown; it goes earlier with the registration",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.holder WHERE (room_id, epoch, person_id) IN (
					SELECT room_id, epoch, person_id FROM waitingroom.holder WHERE issued_at < $1 ORDER BY issued_at LIMIT $2)`,
				now.Add(-TicketLife-24*time.Hour), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.invite", Table: "waitingroom.invite", Why: "whom the hotline let in without waiting, as long as the ticket of it can be shown; that a code was given, and by whom, stands in the audit log",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.invite WHERE id IN (
					SELECT id FROM waitingroom.invite WHERE valid_until < $1 ORDER BY valid_until LIMIT $2)`,
				now.Add(-TicketLife-24*time.Hour), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.minute", Table: "waitingroom.minute", Policy: "figures", Why: "how an opening day went, minute by minute; names nobody",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.minute WHERE (room_id, at) IN (
					SELECT room_id, at FROM waitingroom.minute WHERE at < $1 ORDER BY at LIMIT $2)`, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.alarm", Table: "waitingroom.alarm", Policy: "figures", Why: "when the arrivals at a room looked like machines and why; names no network and nobody",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, keep time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.alarm WHERE (room_id, began_at) IN (
					SELECT room_id, began_at FROM waitingroom.alarm WHERE began_at < $1 ORDER BY began_at LIMIT $2)`, now.Add(-keep), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.draw", Table: "waitingroom.draw", Why: "a draw can be recomputed as long as somebody may claim something from it (three years from the end of the year, sections 195 and 199 of the Civil Code); names nobody",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.draw WHERE (room_id, epoch, attempt) IN (
					SELECT room_id, epoch, attempt FROM waitingroom.draw WHERE committed_at < $1 ORDER BY committed_at LIMIT $2)`, now.AddDate(-4, 0, 0), limit)
			return tag.RowsAffected(), err
		},
	}, {
		Name: "waitingroom.beacon_word", Table: "waitingroom.beacon_word", Why: "what two administrators said about a draw's value: the value stands in the draw, who said it in the audit log",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			tag, err := tx.Exec(ctx, `
				DELETE FROM waitingroom.beacon_word WHERE (room_id, epoch, attempt, said_by) IN (
					SELECT room_id, epoch, attempt, said_by FROM waitingroom.beacon_word WHERE said_at < $1 ORDER BY said_at LIMIT $2)`, now.AddDate(0, -1, 0), limit)
			return tag.RowsAffected(), err
		},
	}}
}

// RetentionRules are the rules of the tables that hold something of people, too.
func (s *Service) RetentionRules() []retention.Rule {
	return append(RetentionRules(), retention.Rule{
		Name: "waitingroom.reminder", Table: "waitingroom.reminder",
		Why: "an address for one message: it goes with its key six hours after that was sent, or when the line ends",
		Run: func(ctx context.Context, tx pgx.Tx, now time.Time, _ time.Duration, limit int) (int64, error) {
			return s.endReminders(ctx, tx, now, limit)
		},
	})
}

// RetentionExempt names the tables that are kept.
func RetentionExempt() []retention.Exempt {
	return []retention.Exempt{
		{Table: "waitingroom.room", Why: "settings of the rooms"},
		{Table: "waitingroom.line", Why: "one row per room with the numbers given out; names nobody"},
		{Table: "waitingroom.former", Why: "one row per room that was deleted, so that its tickets stay void"},
	}
}
