package pglab

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Authority is a self-signed certificate authority. It vouches for servers
// created with TLS, and for clients where pg_hba.conf says cert.
type Authority struct {
	dir         string
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
}

// Authority returns a new certificate authority. Its files are in the folder of
// the lab. The name is unique and of the same letters as a server's.
func (l *Lab) Authority(name string) (*Authority, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	dir := filepath.Join(l.dir, name+".ca")
	a, err := NewAuthority(dir, name)
	if err == nil {
		err = l.tools.who.own(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("authority %s: %w", name, err)
	}
	return a, nil
}

// NewAuthority returns a new certificate authority for servers of no lab. Its
// files are in dir, a new folder.
func NewAuthority(dir, name string) (*Authority, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := blank("pglab " + name)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, key: key, certificate: certificate}
	return a, writePEM(a.File(), "CERTIFICATE", der, 0o644)
}

// blank is a certificate valid from a little before now for a day.
func blank(commonName string) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
	}
}

// File returns the path of the authority's certificate in PEM, for sslrootcert.
func (a *Authority) File() string { return filepath.Join(a.dir, "ca.crt") }

// Client writes a certificate and key for a database user, for sslcert and
// sslkey. The key belongs to the calling user and has mode 0600.
func (a *Authority) Client(user string) (cert, key string, err error) {
	template := blank(user)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cert, key = filepath.Join(a.dir, user+".crt"), filepath.Join(a.dir, user+".key")
	if err := a.issue(template, cert, key); err != nil {
		return "", "", fmt.Errorf("client certificate for %s: %w", user, err)
	}
	return cert, key, nil
}

// Server writes server.crt and server.key into a folder, in the place of any that
// are there: a certificate and key for a server that is reached by these names or
// addresses. The key belongs to the calling user and has mode 0600.
func (a *Authority) Server(dir, name string, more ...string) (cert, key string, err error) {
	template := blank(name)
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, n := range append([]string{name}, more...) {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	cert, key = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if err := a.issue(template, cert, key); err != nil {
		return "", "", fmt.Errorf("server certificate for %s: %w", name, err)
	}
	return cert, key, nil
}

// issue signs a certificate for a new key and writes both.
func (a *Authority) issue(template *x509.Certificate, certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(writePEM(certFile, "CERTIFICATE", der, 0o644), writePEM(keyFile, "PRIVATE KEY", keyDER, 0o600))
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// SetTLS gives the server a certificate of a, as the setting TLS does at
// creation, and reloads a running one. The server must be able to run SQL.
func (s *Server) SetTLS(ctx context.Context, a *Authority) error {
	s.spec.authority = a
	err := s.writeCertificate()
	if err == nil {
		err = s.apply(ctx)
	}
	if err != nil {
		return fmt.Errorf("set tls on %s: %w", s.name, err)
	}
	return nil
}

// writeCertificate equips a server that is to have TLS.
func (s *Server) writeCertificate() error {
	a, who := s.spec.authority, s.lab.tools.who
	if a == nil {
		return nil
	}
	cert, key, err := a.Server(s.dir, "localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	s.spec.conf["ssl"] = "on"
	s.spec.conf["ssl_ca_file"] = a.File()
	s.spec.conf["ssl_cert_file"] = cert
	s.spec.conf["ssl_key_file"] = key
	return errors.Join(who.own(cert), who.own(key))
}
