//go:build !cgo

package signing

import (
	"crypto"
	"errors"
)

// errNoToken says that this program cannot load a PKCS #11 library.
var errNoToken = errors.New("this program was built without a C compiler and cannot use PKCS #11; build it with CGO_ENABLED=1")

type token struct{}

func openToken(Token) (*token, error) { return nil, errNoToken }

func (*token) close() {}

func (*token) key(crypto.PublicKey) (crypto.Signer, error) { return nil, errNoToken }

func (*token) generate() (crypto.Signer, error) { return nil, errNoToken }
