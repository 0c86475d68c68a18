package passkey

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"impfportal/audit"
	"impfportal/internal/id"
	"impfportal/internal/pg"
	"impfportal/staff"
)

// Offered is what a browser needs to make a key (navigator.credentials.create):
// attestation "direct", user verification required, resident key preferred.
type Offered struct {
	ChallengeID string      `json:"challenge_id"`
	Challenge   bytesText   `json:"challenge" doc:"base64url"`
	RPID        string      `json:"rp_id"`
	UserID      bytesText   `json:"user_id" doc:"base64url"`
	UserName    string      `json:"user_name"`
	Algorithms  []int       `json:"algorithms" doc:"COSE"`
	Exclude     []bytesText `json:"exclude" doc:"credential ids, base64url: keys that are enrolled already"`
	Attestation string      `json:"attestation" enum:"direct,none" doc:"none in a local run only"`
	TimeoutMS   int         `json:"timeout_ms"`
}

// Made is a browser's answer: a new key (WebAuthn, 5.2.1), base64url.
type Made struct {
	ChallengeID       string    `json:"challenge_id" maxlen:"36"`
	Name              string    `json:"name" maxlen:"60" doc:"what the owner calls the key"`
	CredentialID      bytesText `json:"credential_id" maxlen:"2000"`
	ClientData        bytesText `json:"client_data" maxlen:"4000"`
	AttestationObject bytesText `json:"attestation_object" maxlen:"40000"`
	Transports        []string  `json:"transports"`
}

// Deeds of this slice.
const (
	actionCreate = "passkey.create"
	actionAdd    = "passkey.add"
	actionLogin  = "passkey.login"
	actionRemove = "passkey.remove"
)

// algorithms are ES256 and EdDSA, what hardware keys have; in a local run RS256 too,
// what some computers have built in.
func (s *Service) algorithms() []int {
	out := []int{int(webauthncose.AlgES256), int(webauthncose.AlgEdDSA)}
	if s.cfg.Local {
		out = append(out, int(webauthncose.AlgRS256))
	}
	return out
}

// accountDigest is the object of deeds with an account.
func accountDigest(accountID string) Digest { return DigestOf("account " + accountID) }

// offer begins the making of a key for an account that has been vouched for.
func (s *Service) offer(ctx context.Context, accountID, shown string, enrolment *string) (Offered, error) {
	var login string
	err := s.pool.QueryRow(ctx, `SELECT login FROM staff.account WHERE id = $1 AND disabled_at IS NULL`, accountID).Scan(&login)
	if pg.NoRows(err) {
		return Offered{}, staff.ErrNotFound
	}
	if err != nil {
		return Offered{}, err
	}
	c, err := s.ask(ctx, s.pool, challenge{accountID: accountID, action: actionCreate, subject: accountDigest(accountID), shown: shown, enrolment: enrolment})
	if err != nil {
		return Offered{}, err
	}
	// An honest authenticator that holds one of these makes no second one: neither
	// twice for one person, nor one key for two who may approve. In a local run one
	// person plays several, with the one authenticator that their computer has.
	rows, err := s.pool.Query(ctx, `
		SELECT staff.base64url(k.raw_id) FROM staff.credential k JOIN staff.account a ON a.id = k.account_id
		WHERE k.disabled_at IS NULL AND (a.id = $1 OR 'admin' = ANY (a.roles) AND NOT $2) ORDER BY a.id = $1 DESC, k.created_at LIMIT 64`, accountID, s.cfg.Local)
	if err != nil {
		return Offered{}, err
	}
	exclude, err := pgx.CollectRows(rows, pgx.RowTo[bytesText])
	if exclude == nil {
		exclude = []bytesText{}
	}
	attestation := "direct"
	if s.cfg.Local {
		attestation = "none" // nobody's computer is to tell what it is for a try-out
	}
	return Offered{
		ChallengeID: c.id, Challenge: c.text(), RPID: s.rpID, UserID: base64.RawURLEncoding.EncodeToString([]byte(accountID)), UserName: login,
		Algorithms: s.algorithms(), Exclude: exclude, Attestation: attestation, TimeoutMS: int(touchTTL.Milliseconds()),
	}, err
}

// OfferAdditional begins another key of an account, vouched for by a touch of one
// that it has (asked for by AskAdditional).
func (s *Service) OfferAdditional(ctx context.Context, accountID string, t Touch) (Offered, error) {
	p, err := s.Verify(ctx, accountID, actionAdd, accountDigest(accountID), t)
	if err != nil {
		return Offered{}, err
	}
	if err := pg.InTx(ctx, s.pool, func(tx pgx.Tx) error { _, err := p.Save(ctx, tx); return err }); err != nil {
		return Offered{}, err
	}
	return s.offer(ctx, accountID, "key", nil)
}

// AskAdditional asks for the touch that vouches for another key.
func (s *Service) AskAdditional(ctx context.Context, accountID string) (Asked, error) {
	return s.Ask(ctx, accountID, actionAdd, accountDigest(accountID))
}

// OfferWithPassword begins the first key of an account that has a password.
func (s *Service) OfferWithPassword(ctx context.Context, accountID, password, code, network string) (Offered, error) {
	var login string
	if err := s.pool.QueryRow(ctx, `SELECT login FROM staff.account WHERE id = $1`, accountID).Scan(&login); err != nil {
		return Offered{}, err
	}
	u, err := s.cfg.Password(ctx, login, password, code, network)
	if err != nil {
		return Offered{}, err
	}
	if has, err := HasKey(ctx, s.pool, u.ID); err != nil || has {
		return Offered{}, errors.Join(err, ErrHasKey)
	}
	return s.offer(ctx, u.ID, "password", nil)
}

// Enrol stores a new key that answers an offer. It returns the account's id and
// the key's.
func (s *Service) Enrol(ctx context.Context, m Made) (accountID, keyID string, err error) {
	if !id.Valid(m.ChallengeID) {
		return "", "", ErrExpired
	}
	c, err := s.spend(ctx, m.ChallengeID)
	if err != nil {
		return "", "", err
	}
	if c.action != actionCreate || c.shown == "" {
		return "", "", fmt.Errorf("%w: the challenge was for something else", ErrRefused)
	}
	k, err := s.verifyAttestation(ctx, m, c)
	if err != nil {
		return "", "", err
	}
	now := s.now()
	keyID = newID()
	err = pg.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		// The account's row keeps two enrolments apart.
		var enabled bool
		if err := tx.QueryRow(ctx, `SELECT disabled_at IS NULL FROM staff.account WHERE id = $1 FOR UPDATE`, c.accountID).Scan(&enabled); err != nil {
			return err
		}
		has, err := HasKey(ctx, tx, c.accountID)
		switch {
		case err != nil:
			return err
		case !enabled:
			return ErrRefused
		case has && c.shown != "key":
			return ErrHasKey
		case !has && c.shown == "key": // the one that vouched is gone
			return ErrRefused
		}
		if c.enrolment != nil {
			tag, err := tx.Exec(ctx, `UPDATE staff.enrolment SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2`, *c.enrolment, now)
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return ErrCode
			}
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO staff.credential (id, account_id, raw_id, public_key, name, aaguid, format, attestation, sign_count, transports, shown, nonce, client_data, attestation_object, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
			keyID, c.accountID, unbase64(m.CredentialID), k.publicKey, m.Name, k.aaguid, k.format, k.attestation, k.signCount, transports(m.Transports), c.shown, c.nonce,
			unbase64(m.ClientData), unbase64(m.AttestationObject), now)
		if pg.Violates(err, "credential_raw_id") || pg.Violates(err, "credential_public_key") {
			return ErrTaken
		}
		if err != nil {
			return err
		}
		return audit.Write(ctx, tx, now, audit.Entry{
			Actor: "staff:" + c.accountID, Action: "passkey.enrol", Subject: "staff:" + c.accountID,
			After: map[string]string{"key": keyID, "model": k.aaguid, "attestation": k.attestation, "shown": c.shown},
		})
	})
	return c.accountID, keyID, err
}

// attested is what a verified attestation says.
type attested struct {
	publicKey   []byte
	aaguid      string
	format      string
	attestation string
	signCount   int64
	chain       [][]byte // attestation certificates, DER
}

// verifyAttestation checks a new key as WebAuthn 7.1 says, and that its model is allowed.
func (s *Service) verifyAttestation(ctx context.Context, m Made, c challenge) (attested, error) {
	k, err := s.verifyStatement(m, c)
	if err != nil {
		return attested{}, err
	}
	model, err := s.model(ctx, s.pool, k.aaguid)
	if errors.Is(err, ErrModel) && s.cfg.Local {
		model, err = s.anyModel(ctx, k.aaguid)
	}
	if err != nil || model.Virtual {
		return k, err
	}
	return k, k.madeBy(model)
}

// verifyStatement checks everything that the answer to an offer says by itself.
func (s *Service) verifyStatement(m Made, c challenge) (attested, error) {
	p, err := m.parse()
	if err != nil {
		return attested{}, errors.Join(ErrRefused, err)
	}
	var params []protocol.CredentialParameter
	for _, a := range s.algorithms() {
		params = append(params, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.COSEAlgorithmIdentifier(a)})
	}
	if _, err := p.Verify(c.text(), s.rpID, s.origins(p.Response.CollectedClientData.Origin), nil, nil, protocol.TopOriginExplicitVerificationMode,
		false, true, true, nil, params, protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
		return attested{}, errors.Join(ErrRefused, err)
	}
	o := p.Response.AttestationObject
	model, err := uuid.FromBytes(o.AuthData.AttData.AAGUID)
	if err != nil {
		return attested{}, errors.Join(ErrRefused, err)
	}
	k := attested{publicKey: o.AuthData.AttData.CredentialPublicKey, aaguid: model.String(), format: o.Format, signCount: int64(o.AuthData.Counter)}
	switch metadata.AuthenticatorAttestationType(o.Type) {
	case metadata.BasicFull:
		k.attestation = "basic"
	case metadata.BasicSurrogate:
		k.attestation = "self"
	case metadata.None:
		k.attestation = "none"
	default:
		return attested{}, ErrModel
	}
	x5c, _ := o.AttStatement["x5c"].([]any)
	for _, raw := range x5c {
		der, _ := raw.([]byte)
		k.chain = append(k.chain, der)
	}
	return k, nil
}

// madeBy holds when a certificate of the model's maker stands behind the key: an
// AAGUID alone is a claim.
func (k attested) madeBy(m Model) error {
	if k.attestation != "basic" || protocol.AttestationFormat(k.format) != protocol.AttestationFormatPacked {
		return fmt.Errorf("%w: no attestation of its maker", ErrModel)
	}
	return m.trusts(k.chain)
}

func (m Made) parse() (*protocol.ParsedCredentialCreationData, error) {
	r := protocol.CredentialCreationResponse{
		PublicKeyCredential: protocol.PublicKeyCredential{
			Credential: protocol.Credential{ID: m.CredentialID, Type: "public-key"}, RawID: unbase64(m.CredentialID),
		},
		AttestationResponse: protocol.AuthenticatorAttestationResponse{
			AuthenticatorResponse: protocol.AuthenticatorResponse{ClientDataJSON: unbase64(m.ClientData)}, AttestationObject: unbase64(m.AttestationObject),
		},
	}
	return r.Parse()
}

// transports keeps the hints that are known (WebAuthn, 5.8.4).
func transports(said []string) []string {
	out := []string{}
	for _, t := range said {
		switch t {
		case "usb", "nfc", "ble", "smart-card", "hybrid", "internal":
			out = append(out, t)
		}
	}
	return out
}
