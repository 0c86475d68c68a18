package certify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ServeClients answers on the listener for client certificates until ctx ends. The
// certificate of the client is asked for and not demanded in the handshake, so that
// who has none gets an answer that says so; what counts is decided in byClient.
func (s *Service) ServeClients(ctx context.Context, ln net.Listener, own tls.Certificate) error {
	known := x509.NewCertPool()
	for _, a := range s.Client.Trust.Authorities {
		known.AddCert(a.Certificate)
	}
	srv := &http.Server{
		Handler: s.ClientHandler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaders,
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, ClientCAs: known, Time: s.Now,
		},
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*time.Second)
		defer cancel()
		_ = srv.Shutdown(end) // who is still there is cut off
	})
	if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
