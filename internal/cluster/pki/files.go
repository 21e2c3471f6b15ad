package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "EC PRIVATE KEY"
	serialBits     = 120
)

func (s *Store) sign(p Pair, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, err
	}
	// The key first: a reader that sees the new certificate then finds its key.
	if err = writeKey(p.KeyFile, key); err != nil {
		return nil, err
	}
	if err = atomicfile.Write(p.CertFile, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}), 0o600); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func readPair(p Pair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	block, err := readBlock(p.CertFile, pemCertificate)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(block)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.CertFile, err)
	}
	if block, err = readBlock(p.KeyFile, pemKey); err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(block)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", p.KeyFile, err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, fmt.Errorf("%s does not belong to %s", p.KeyFile, p.CertFile)
	}
	return cert, key, nil
}

func readBlock(file, kind string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s holds no PEM block %q", file, kind)
	}
	return block.Bytes, nil
}

func writeKey(file string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}), 0o600)
}

func serial() *big.Int {
	var b [serialBits / 8]byte
	// crypto/rand.Read never fails: it ends the program instead.
	_, _ = rand.Read(b[:])
	return new(big.Int).SetBytes(b[:])
}
