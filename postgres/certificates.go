package postgres

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"net"
	"strings"
)

// certificates returns how TLS is done with n, nil if it is not. It reads the
// files that s names.
func (s Settings) certificates(host string) (*tls.Config, error) {
	mode := s.sslMode()
	if mode == "disable" || isSocket(host) {
		return nil, nil
	}
	roots, err := s.roots(mode)
	if err != nil {
		return nil, err
	}
	own, err := s.ownCertificate()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		// Names and chains are judged by libpq's rules, in VerifyConnection.
		InsecureSkipVerify: true, //nolint:gosec // see verify
		VerifyConnection:   verification{mode: mode, host: host, roots: roots}.verify,
	}
	if net.ParseIP(host) == nil {
		config.ServerName = host
	}
	if own != nil {
		config.Certificates = []tls.Certificate{*own}
	}
	return config, nil
}

// sslMode returns the word that counts: the certificates of the system are of no
// use unless the name is checked.
func (s Settings) sslMode() string {
	if s.SSLRootCert == systemRoots {
		return "verify-full"
	}
	return cmp.Or(s.SSLMode, "prefer")
}

// systemRoots is libpq's word for the authorities that the system trusts.
const systemRoots = "system"

// roots returns the authorities that servers are checked against, nil if there
// are none. As with libpq a file that is not there matters only if it must be.
func (s Settings) roots(mode string) (*x509.CertPool, error) {
	if s.SSLRootCert == systemRoots {
		return x509.SystemCertPool()
	}
	needed := strings.HasPrefix(mode, "verify-")
	path := cmp.Or(s.SSLRootCert, homeFile("root.crt"))
	if path == "" {
		if needed {
			return nil, fmt.Errorf("sslmode %s needs sslrootcert, and there is no ~/.postgresql/root.crt", mode)
		}
		return nil, nil
	}
	data, _, err := readFile(path)
	if absent(err) && !needed {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sslrootcert: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("sslrootcert: %s holds no certificate in PEM", path)
	}
	return roots, nil
}

// ownCertificate returns what to log on with, nil if there is nothing.
func (s Settings) ownCertificate() (*tls.Certificate, error) {
	certFile, keyFile := s.SSLCert, s.SSLKey
	if certFile == "" && keyFile == "" {
		certFile, keyFile = homeFile("postgresql.crt"), homeFile("postgresql.key")
		if certFile == "" || keyFile == "" {
			return nil, nil
		}
	}
	cert, _, err := readFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("sslcert: %w", err)
	}
	key, info, err := readFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("sslkey: %w", err)
	}
	if keyExposed(info) {
		return nil, fmt.Errorf("sslkey: %s has group or world access: it must have mode 0600 or less, or 0640 or less if root owns it", keyFile)
	}
	if encrypted(key) {
		return nil, fmt.Errorf("sslkey: %s is protected by a passphrase, which plusmoin cannot be told: store it without (openssl pkey -in FILE -out FILE)", keyFile)
	}
	own, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("sslcert %s with sslkey %s: %w", certFile, keyFile, err)
	}
	return &own, nil
}

// encrypted reports whether a key in PEM needs a passphrase.
func encrypted(data []byte) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
			return true
		}
	}
	return false
}

// verification judges the certificate of a server.
type verification struct {
	mode, host string
	roots      *x509.CertPool
}

// verify does what libpq does in each mode: with authorities at hand, require
// is as strict as verify-ca.
func (v verification) verify(state tls.ConnectionState) error {
	chain := state.PeerCertificates
	checked := v.mode == "verify-ca" || v.mode == "verify-full" || v.mode == "require" && v.roots != nil
	if !checked {
		return nil
	}
	between := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: v.roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
	}
	if v.mode == "verify-full" && !isNamed(chain[0], v.host) {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: fmt.Errorf(
			"the certificate is of %s, not of %q", strings.Join(namesOf(chain[0]), ", "), v.host)}
	}
	return nil
}

// isNamed reports whether a certificate is of host by libpq's rules: the common
// name counts if there is no subjectAltName of the host's kind.
func isNamed(c *x509.Certificate, host string) bool {
	ip := net.ParseIP(host)
	for _, address := range c.IPAddresses {
		if ip != nil && address.Equal(ip) {
			return true
		}
	}
	for _, name := range c.DNSNames {
		if nameMatches(name, host) {
			return true
		}
	}
	if ip != nil && len(c.IPAddresses) > 0 || ip == nil && len(c.DNSNames) > 0 {
		return false
	}
	name := commonName(c)
	return name != "" && nameMatches(name, host)
}

// nameMatches compares without regard to case; a star stands for one label in
// front.
func nameMatches(pattern, host string) bool {
	if strings.EqualFold(pattern, host) {
		return true
	}
	suffix, ok := strings.CutPrefix(pattern, "*")
	label, rest, found := strings.Cut(host, ".")
	return ok && found && label != "" && strings.HasPrefix(suffix, ".") && strings.EqualFold(suffix, "."+rest)
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3}

// commonName returns the first common name, as libpq takes it.
func commonName(c *x509.Certificate) string {
	for _, name := range c.Subject.Names {
		if text, ok := name.Value.(string); ok && name.Type.Equal(oidCommonName) {
			return text
		}
	}
	return ""
}

func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, address := range c.IPAddresses {
		names = append(names, address.String())
	}
	if len(names) == 0 {
		names = append(names, cmp.Or(commonName(c), "nobody"))
	}
	return names
}
