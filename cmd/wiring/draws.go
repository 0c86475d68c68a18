package wiring

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"impfportal/internal/pg"
	"impfportal/staff"
	"impfportal/waitingroom"
	"impfportal/waitingroom/draw"
)

// staffSince tells since when an administrator alone knows their credentials.
func staffSince(q pg.Querier) func(ctx context.Context, actor string) (time.Time, error) {
	return func(ctx context.Context, actor string) (time.Time, error) { return staff.Since(ctx, q, actor) }
}

// drawConfig is what drawing the order of a waiting room needs: the key that
// signs how many take part, and the servers of drand.
func drawConfig(env *Env) (waitingroom.DrawConfig, error) {
	cfg := env.Cfg
	c := waitingroom.DrawConfig{
		Key:   ed25519.NewKeyFromSeed(env.Vault.Derive("waitingroom.draw")),
		Drand: waitingroom.Drand{URLs: cfg.DrandURLs},
	}
	chain := draw.Chain{Hash: cfg.DrandChainHash, PublicKey: cfg.DrandPublicKey, Period: cfg.DrandPeriod, Genesis: cfg.DrandGenesis}
	if chain == (draw.Chain{}) {
		return c, c.Drand.Check()
	}
	if chain.Hash == "" || chain.PublicKey == "" || chain.Period == 0 || chain.Genesis == 0 {
		return c, errors.New("DRAND_CHAIN_HASH, DRAND_PUBLIC_KEY, DRAND_PERIOD and DRAND_GENESIS_TIME belong together: set all of them, or none for quicknet")
	}
	c.Drand.Chain = chain
	return c, c.Drand.Check()
}
