package wiring

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/go-redis/redis_rate/v10"
	"github.com/jackc/pgx/v5"

	"impfportal/certificate/desk"
	"impfportal/certificate/issuer"
	"impfportal/certificate/issuer/registry"
	"impfportal/certificate/stop"
	"impfportal/certificate/translog"
	"impfportal/internal/web"
	"impfportal/vaccination"
)

// buildIssuers wires the authority's registry. A local run without one has a demo
// authority of its own under its data folder.
func (s *Slices) buildIssuers(base string) error {
	cfg := s.env.Cfg
	source, keyFile := cfg.IssuerRegistry, cfg.IssuerRegistryKeys
	if source == "" && cfg.Local() {
		var err error
		if source, keyFile, err = issuer.DemoRegistry(filepath.Join(cfg.DataDir, "registry"), s.env.Now()); err != nil {
			return fmt.Errorf("demo registry: %w", err)
		}
	}
	c := issuer.Config{
		Pool: s.env.Pool, Vault: s.env.Vault, Now: s.env.Now, Log: s.env.Log, Notify: s.Notify, Limiter: redis_rate.NewLimiter(s.env.Redis),
		BaseURL: base, Hotline: hotlineNumber, Grace: cfg.IssuerRegistryGrace, Staff: s.Staff, Keys: s.Keys, Dual: s.Dual,
		Leaf: func(ctx context.Context, tx pgx.Tx, ref string, l issuer.Leaf) error {
			if l.Issuer == "" {
				return s.Log.Append(ctx, tx, ref, translog.Leaf{Kind: l.Kind, Subject: "issuer-rules", Day: l.Day, Detail: l.Detail})
			}
			pseudonym := s.Log.Pseudonym("issuer", l.Issuer)
			return s.Log.Append(ctx, tx, ref, translog.Leaf{Kind: l.Kind, Subject: "issuer:" + pseudonym, Issuer: pseudonym, Day: l.Day, Detail: l.Detail})
		},
	}
	c.Hold = func(ctx *web.Ctx, i issuer.Issuer) (*issuer.Hold, error) {
		st, ok, err := s.Stop.Applies(ctx.Std(), s.env.Pool, stop.Subject{IssuerRef: i.Ref(), IssuerKind: i.Kind, Path: issuer.PathWeb, Region: vaccination.Region(i.Postcode)})
		if err != nil || !ok {
			return nil, err
		}
		return &issuer.Hold{Since: st.Since, Why: st.Reason(ctx.Lang), Expected: st.Expected}, nil
	}
	c.Alarmed = func(ctx context.Context, tx pgx.Tx, ref, alarm string) error {
		return s.Stop.Fail(ctx, tx, ref, "alarm: "+alarm)
	}
	if source != "" {
		var err error
		if c.Authority, err = registry.KeyFile(keyFile); err != nil {
			return fmt.Errorf("ISSUER_REGISTRY_KEYS: %w", err)
		}
		if c.Fetch, err = issuer.FetchFrom(source, cfg.Local()); err != nil {
			return fmt.Errorf("ISSUER_REGISTRY: %w", err)
		}
	}
	s.Issuers = issuer.New(c)
	s.Revocation.Issuers = s.Issuers
	s.Desk = desk.New(desk.Config{
		Pool: s.env.Pool, Now: s.env.Now, Issuers: s.Issuers, Records: s.Vaccination, Certificates: s.Certificate, Revocations: s.Revocation.Service, Stop: s.Stop, Keys: s.Keys,
		Limiter: c.Limiter,
	})
	return nil
}
