package passkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"impfportal/internal/pg"
)

// Reverify checks a stored touch again, from the bytes alone: that its key signed
// this deed on this object, and that the key itself is one that an allowed maker
// has attested for this account. Whether the model is still allowed, and counters,
// are of their own time and not asked.
func (s *Service) Reverify(ctx context.Context, q pg.Querier, touchID string) error {
	var (
		t, k                    challenge
		subject                 []byte
		client, auth, sig       []byte
		raw, publicKey          []byte
		made, object            []byte
		keyAccount, keyAAGUID   string
		touchAccount, keyFormat string
	)
	err := q.QueryRow(ctx, `
		SELECT t.account_id::text, t.action, t.subject, t.nonce, t.client_data, t.auth_data, t.signature,
		       k.account_id::text, k.raw_id, k.public_key, k.aaguid::text, k.format, k.nonce, k.client_data, k.attestation_object
		FROM staff.touch t JOIN staff.credential k ON k.id = t.credential_id WHERE t.id = $1`, touchID).
		Scan(&touchAccount, &t.action, &subject, &t.nonce, &client, &auth, &sig, &keyAccount, &raw, &publicKey, &keyAAGUID, &keyFormat, &k.nonce, &made, &object)
	if pg.NoRows(err) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	copy(t.subject[:], subject)
	b64 := base64.RawURLEncoding.EncodeToString
	parsed, err := Touch{CredentialID: b64(raw), ClientData: b64(client), AuthData: b64(auth), Signature: b64(sig)}.parse()
	if err == nil {
		err = s.verifyAssertion(parsed, t.text(), publicKey)
	}
	if err != nil {
		return errors.Join(ErrRefused, err)
	}
	k.action, k.subject = actionCreate, accountDigest(keyAccount)
	a, err := s.verifyStatement(Made{CredentialID: b64(raw), ClientData: b64(made), AttestationObject: b64(object)}, k)
	switch {
	case err != nil:
		return errors.Join(ErrRefused, err)
	case touchAccount != keyAccount || !bytes.Equal(a.publicKey, publicKey) || a.aaguid != keyAAGUID || a.format != keyFormat:
		return fmt.Errorf("%w: the key is not the one that was attested", ErrRefused)
	}
	return s.everMade(ctx, q, a)
}

// everMade reports whether some model that was ever on the list stands behind a key.
func (s *Service) everMade(ctx context.Context, q pg.Querier, a attested) error {
	models, err := Models(ctx, q)
	if err != nil {
		return err
	}
	for _, m := range models {
		if m.AAGUID == a.aaguid && (m.Virtual && s.cfg.Local || a.madeBy(m) == nil) {
			return nil
		}
	}
	return fmt.Errorf("%w: no maker stands behind the key", ErrRefused)
}
