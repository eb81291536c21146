package postgres

import (
	"crypto"
	_ "crypto/sha256" // for crypto.Hash.New
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"

	"plusmoin/cluster"
)

// endPoint returns what a channel is bound to: the hash of the server's
// certificate (RFC 5929, tls-server-end-point).
func endPoint(c *x509.Certificate) ([]byte, error) {
	hash, err := signatureHash(c)
	if err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(c.Raw)
	return h.Sum(nil), nil
}

// signatureHash returns the hash with which a certificate was signed, or SHA-256
// in the place of a weaker one.
func signatureHash(c *x509.Certificate) (crypto.Hash, error) {
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		return crypto.SHA256, nil
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		return crypto.SHA384, nil
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		return crypto.SHA512, nil
	}
	// The library knows RSA-PSS only with the salt that it would use itself.
	var outer struct {
		Content   asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(c.Raw, &outer); err != nil || !outer.Algorithm.Algorithm.Equal(oidPSS) {
		return 0, wrong{cluster.ReasonTLS, fmt.Sprintf(
			"no channel can be bound to the server's certificate, for how it is signed (%v): set channel_binding to disable", c.SignatureAlgorithm)}
	}
	return pssHash(outer.Algorithm.Parameters.Bytes), nil
}

var (
	oidPSS    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidSHA224 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// pssHash returns the hash that the parameters of RSA-PSS name. They name none
// if it is SHA-1.
func pssHash(parameters []byte) crypto.Hash {
	var first asn1.RawValue
	var named pkix.AlgorithmIdentifier
	if _, err := asn1.Unmarshal(parameters, &first); err != nil || first.Class != asn1.ClassContextSpecific || first.Tag != 0 {
		return crypto.SHA256
	}
	if _, err := asn1.Unmarshal(first.Bytes, &named); err != nil {
		return crypto.SHA256
	}
	switch {
	case named.Algorithm.Equal(oidSHA224):
		return crypto.SHA224
	case named.Algorithm.Equal(oidSHA384):
		return crypto.SHA384
	case named.Algorithm.Equal(oidSHA512):
		return crypto.SHA512
	}
	return crypto.SHA256
}
