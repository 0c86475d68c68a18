package issuer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/internal/id"
	"impfportal/internal/jobs"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/notify"
)

// Hold is what keeps every issuer of some kind from getting certificates: a stop of
// issuing. It is no state of the issuer.
type Hold struct {
	Since    time.Time
	Why      string // in the reader's language
	Expected *time.Time
}

// refPrefix begins the reference of an issuer of this package.
const refPrefix = "issuer:"

// resumedPayload names issuers that are to be told that issuing works again.
type resumedPayload struct {
	IssuerIDs []string  `json:"issuer_ids"`
	At        time.Time `json:"at"`
}

var taskResumed = jobs.Define[resumedPayload]("issuer.resumed")

// resumedBatch is how many issuers one task tells.
const resumedBatch = 100

// TellResumed has the issuers among refs told, by the worker, that issuing works again.
// References of others are passed over.
func (s *Service) TellResumed(ctx context.Context, tx pgx.Tx, refs []string) error {
	var ids []string
	for _, ref := range refs {
		if issuerID, ok := strings.CutPrefix(ref, refPrefix); ok && id.Valid(issuerID) {
			ids = append(ids, issuerID)
		}
	}
	for batch := range slices.Chunk(ids, resumedBatch) {
		if err := taskResumed.Enqueue(ctx, tx, resumedPayload{batch, s.Now()}); err != nil {
			return err
		}
	}
	return nil
}

// tellResumed writes to each active issuer of a batch, once for one event.
func (s *Service) tellResumed(ctx context.Context, p resumedPayload) error {
	return pg.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			UPDATE certificate.issuer SET resumed_told_at = $2 WHERE id = ANY ($1::uuid[]) AND state = 'active' AND (resumed_told_at IS NULL OR resumed_told_at < $2)
			RETURNING id::text`, p.IssuerIDs, p.At)
		if err != nil {
			return fmt.Errorf("issuers to be told: %w", err)
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("issuers to be told: %w", err)
		}
		list, err := collect(ctx, tx, `WHERE i.id = ANY ($1::uuid[]) ORDER BY i.id`, ids)
		if err != nil {
			return err
		}
		for _, i := range list {
			c, err := s.contactOf(ctx, tx, i)
			if err != nil {
				return err
			}
			if err := s.Notify.Send(ctx, tx, notify.Recipient{KeyID: i.keyID, Email: c.Email, Postal: postal(i), Lang: i.lang}, notify.Message{
				Kind: "issuer.resumed", Subject: say(i.lang, "message.resumed.subject", "Name", i.Name),
				Text: say(i.lang, "message.resumed.text", "Name", i.Name, "Since", web.FormatDateTime(i.lang, p.At), "URL", s.BaseURL+"/issuer", "Phone", s.Hotline),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Held tells whether ref names an issuer that may not issue any more: paused, suspended,
// ended, or with an open alarm. Others' references are none of ours.
func (s *Service) Held(ctx context.Context, q pg.Querier, ref string) (held bool, err error) {
	issuerID, own := strings.CutPrefix(ref, refPrefix)
	if !own || !id.Valid(issuerID) {
		return false, nil
	}
	err = q.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM certificate.issuer i WHERE i.id = $1
		   AND (i.state <> 'active' OR EXISTS (SELECT FROM certificate.issuer_alarm a WHERE a.issuer_id = i.id AND a.cleared_at IS NULL)))`, issuerID).Scan(&held)
	if err != nil {
		err = fmt.Errorf("issuer: %w", err)
	}
	return held, err
}

// RefOf returns the reference of the issuer that has a number in the registry, or had
// it last; "" when none has.
func (s *Service) RefOf(ctx context.Context, q pg.Querier, entryID string) (ref string, err error) {
	err = q.QueryRow(ctx, `SELECT $1 || i.id FROM certificate.issuer i WHERE i.entry_id = upper($2) ORDER BY i.created_at DESC LIMIT 1`, refPrefix, strings.TrimSpace(entryID)).Scan(&ref)
	if pg.NoRows(err) {
		return "", nil
	}
	return ref, err
}

// NameOf returns what a reference is called on pages: name and number of an issuer;
// others' references as they are.
func (s *Service) NameOf(ctx context.Context, q pg.Querier, ref string) (string, error) {
	issuerID, own := strings.CutPrefix(ref, refPrefix)
	if !own || !id.Valid(issuerID) {
		return ref, nil
	}
	i, err := s.Get(ctx, q, issuerID)
	if errors.Is(err, ErrNotFound) {
		return ref, nil
	}
	return i.Name + " (" + i.EntryID + ")", err
}

// Listed is an issuer as a stop deals with it.
type Listed struct{ Ref, Kind, Postcode string }

// All lists the issuers that could issue, or could again: active, paused and suspended.
func All(ctx context.Context, q pg.Querier) ([]Listed, error) {
	rows, err := q.Query(ctx, `
		SELECT 'issuer:' || i.id, i.kind, e.postcode FROM certificate.issuer i JOIN certificate.registry_entry e ON e.id = i.entry_id
		 WHERE i.state IN ('active', 'paused', 'suspended') ORDER BY i.id`)
	if err != nil {
		return nil, fmt.Errorf("issuers: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Listed])
}

// Verify looks at issuers anew, in one statement however many they are: state, entry
// and licence today, alarms, and whether anybody there could log in (a security key of a
// model that is allowed, or a certificate that the registry names). It returns what is
// wrong by reference: unknown, state, licence, alarm or key; who is good is not in it.
func (s *Service) Verify(ctx context.Context, q pg.Querier, refs []string) (map[string]string, error) {
	ids := make([]string, 0, len(refs))
	failed := map[string]string{}
	for _, ref := range refs {
		issuerID, ok := strings.CutPrefix(ref, refPrefix)
		if ok && id.Valid(issuerID) {
			ids = append(ids, issuerID)
		}
		failed[ref] = "unknown" // until the statement knows better
	}
	rows, err := q.Query(ctx, `
		SELECT 'issuer:' || i.id, CASE
		    WHEN i.state <> 'active' THEN 'state'
		    WHEN e.state = 'gone' OR e.licence <> 'valid' OR e.valid_from > $2 OR e.valid_to < $2 THEN 'licence'
		    WHEN EXISTS (SELECT FROM certificate.issuer_alarm a WHERE a.issuer_id = i.id AND a.cleared_at IS NULL) THEN 'alarm'
		    WHEN cardinality(e.keys) = 0 AND NOT EXISTS (
		        SELECT FROM staff.account s JOIN staff.credential k ON k.account_id = s.id AND k.disabled_at IS NULL
		          JOIN staff.key_model m ON m.aaguid = k.aaguid AND m.valid_from <= $2 AND (m.valid_to IS NULL OR m.valid_to >= $2)
		         WHERE s.scope = i.id::text AND s.disabled_at IS NULL AND 'issuer' = ANY (s.roles)) THEN 'key'
		    ELSE '' END
		  FROM certificate.issuer i JOIN certificate.registry_entry e ON e.id = i.entry_id WHERE i.id = ANY ($1::uuid[])`, ids, today(s.Now()))
	if err != nil {
		return nil, fmt.Errorf("verify issuers: %w", err)
	}
	var ref, problem string
	_, err = pgx.ForEachRow(rows, []any{&ref, &problem}, func() error {
		if failed[ref] = problem; problem == "" {
			delete(failed, ref)
		}
		return nil
	})
	return failed, err
}
