package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"impfportal/centre"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/internal/web"
	"impfportal/inventory"
)

// site are the vaccination centres, all of which give doses to people who come
// without an appointment.
type site struct {
	p      *portal
	places []sitePlace
	next   atomic.Int64
	cookie string
	client *http.Client
	forms  string // their date
}

type sitePlace struct{ centreID, lotID string }

const siteProduct = "comirnaty"

// newSite logs a member of staff in and gives each centre vaccine enough.
func newSite(ctx context.Context, p *portal) (*site, error) {
	s := &site{p: p, client: newClient(64)}
	centres, err := centre.List(ctx, p.env.Pool)
	if err != nil {
		return nil, err
	}
	now := p.env.Now()
	const vials = 2000 // of 5 or 6 doses, for each centre
	err = pg.InTx(ctx, p.env.Pool, func(tx pgx.Tx) error {
		by := inventory.By{Actor: "system", Role: "system"}
		delivery, err := p.Inventory.PlanDelivery(ctx, tx, inventory.NewDelivery{ProductID: siteProduct, Place: inventory.Central, Day: now, Vials: vials * len(centres), EqualShares: true}, by)
		if err != nil {
			return err
		}
		lot := inventory.ReceivedLot{Number: "DRILL-" + id.New()[24:], Expiry: now.AddDate(0, 0, 60), Vials: vials * len(centres)}
		return p.Inventory.ReceiveDelivery(ctx, tx, delivery, []inventory.ReceivedLot{lot}, by)
	})
	if err != nil {
		return nil, fmt.Errorf("vaccine for the drill: %w", err)
	}
	for _, c := range centres {
		lots, err := p.Inventory.Lots(ctx, p.env.Pool, inventory.CentrePlace(c.ID), siteProduct, now)
		if err != nil {
			return nil, err
		}
		if len(lots) == 0 {
			return nil, fmt.Errorf("centre %s has no vaccine", c.ID)
		}
		most := lots[0]
		for _, l := range lots {
			if l.Vials > most.Vials {
				most = l
			}
		}
		s.places = append(s.places, sitePlace{c.ID, most.ID})
	}
	err = p.env.Pool.QueryRow(ctx, `SELECT to_char(max(stand), 'YYYY-MM-DD') FROM vaccination.forms WHERE product_id = $1 AND used_from <= $2`, siteProduct, now).Scan(&s.forms)
	if err != nil {
		return nil, err
	}
	token, err := p.env.NewSession(ctx, web.User{Kind: "staff", ID: id.New(), Name: "Drill", Roles: []web.Role{web.RoleSite}}, 12*time.Hour)
	s.cookie = token
	return s, err
}

// give records one dose over HTTP and returns the record's id.
func (s *site) give(ctx context.Context) (recordID string, err error) {
	at := s.places[int(s.next.Add(1))%len(s.places)]
	b := newBrowser(s.p.addr, s.client)
	b.jar["sid"] = s.cookie
	var out struct {
		RecordID string `json:"record_id"`
	}
	err = b.want(ctx, http.StatusCreated, http.MethodPost, "/api/v1/site/walk-ins",
		fmt.Sprintf(`{"centre":%q,"key":%q,"lot_id":%q,"consent":true,"forms":%q,"person":{"family_name":%q,"given_name":%q,"birth":%q,"sex":"male","postcode":"04103","dose_number":1}}`,
			at.centreID, id.New(), at.lotID, s.forms, randomName(), randomName(), randomBirth(s.p.env.Now())), &out)
	return out.RecordID, err
}
