package main

import (
	"fmt"
	"os"
	"time"

	"impfportal/certificate/issuer/registry"
)

// registryCmd is for the authority that keeps the list of issuers. It needs no
// portal.
type registryCmd struct {
	Key   registryKeyCmd   `cmd:"" help:"Make the authority's key: FILE and FILE.pub."`
	Sign  registrySignCmd  `cmd:"" help:"Sign a list of issuers (JSON) under the next sequence number."`
	Check registryCheckCmd `cmd:"" help:"Check a signed list."`
}

type registryKeyCmd struct {
	File string `arg:"" help:"the private key's file; it must not exist"`
}

// Run makes the key.
func (c registryKeyCmd) Run() error { return registry.NewKeyFiles(c.File) }

type registrySignCmd struct {
	List string        `arg:"" type:"existingfile" help:"the list as JSON; see certificate/issuer/registry/doc.go"`
	Out  string        `arg:"" help:"the signed list; its sequence number is counted on"`
	Key  string        `required:"" type:"existingfile" help:"the authority's private key"`
	Life time.Duration `default:"24h" help:"time until the next list must be there"`
}

// Run signs.
func (c registrySignCmd) Run() error {
	key, err := registry.PrivateKey(c.Key)
	if err != nil {
		return err
	}
	l, err := registry.SignFile(c.List, c.Out, key, time.Now(), c.Life)
	if err != nil {
		return err
	}
	fmt.Printf("%s: sequence %d, %d entries, next list until %s\n", c.Out, l.Sequence, len(l.Entries), l.NextUpdate.Format(time.RFC3339))
	return nil
}

type registryCheckCmd struct {
	File string `arg:"" type:"existingfile" help:"the signed list"`
	Keys string `required:"" type:"existingfile" help:"the authority's public keys (PEM)"`
}

// Run checks.
func (c registryCheckCmd) Run() error {
	keys, err := registry.KeyFile(c.Keys)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	l, err := registry.Open(raw, keys)
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s, sequence %d, %d entries, next list until %s\n", c.File, l.Authority, l.Sequence, len(l.Entries), l.NextUpdate.Format(time.RFC3339))
	return nil
}
