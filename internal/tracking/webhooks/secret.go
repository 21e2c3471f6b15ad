package webhooks

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
)

// vault seals secrets with AES-256-GCM. Its key comes from the configuration,
// else from a file that is made when it is first needed.
type vault struct {
	key, file string

	mu   sync.Mutex
	aead cipher.AEAD
}

var errNoKey = errors.New("there is no key to seal webhook secrets with; set MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY on the server")

const sealed = "v1:"

// minKey is the shortest key that the configuration may name; MLflow's have 44 characters.
const minKey = 32

// origin says where the key is from.
func (v *vault) origin() string {
	switch {
	case v.key != "":
		return "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"
	case v.file != "":
		return v.file
	}
	return "none"
}

// cipher has the key; making allows it to be made.
func (v *vault) cipher(making bool) (cipher.AEAD, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.aead != nil {
		return v.aead, nil
	}
	material := v.key
	if material == "" {
		var err error
		if material, err = v.fromFile(making); err != nil {
			return nil, err
		}
	}
	key, err := hkdf.Key(sha256.New, []byte(material), nil, "kiwerk webhook secrets", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	v.aead, err = cipher.NewGCM(block)
	return v.aead, err
}

func (v *vault) fromFile(making bool) (string, error) {
	if v.file == "" {
		return "", errNoKey
	}
	b, err := os.ReadFile(v.file)
	if errors.Is(err, fs.ErrNotExist) && making {
		var key [32]byte
		_, _ = rand.Read(key[:]) // it never fails, as its documentation promises
		b = []byte(base64.URLEncoding.EncodeToString(key[:]) + "\n")
		err = atomicfile.Write(v.file, b, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("key of webhook secrets: %w", err)
	}
	material := strings.TrimSpace(string(b))
	if len(material) < minKey {
		return "", fmt.Errorf("key of webhook secrets: %s is damaged; restore it from the backup", v.file)
	}
	return material, nil
}

// seal binds a secret to its webhook.
func (v *vault) seal(webhook, secret string) (string, error) {
	if secret == "" {
		return "", nil
	}
	aead, err := v.cipher(true)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // it never fails, as its documentation promises
	return sealed + base64.StdEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(secret), []byte(webhook))), nil
}

func (v *vault) open(webhook, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	aead, err := v.cipher(false)
	if err != nil {
		return "", err
	}
	body, ok := strings.CutPrefix(text, sealed)
	b, err := base64.StdEncoding.DecodeString(body)
	if !ok || err != nil || len(b) < aead.NonceSize() {
		return "", errors.New("the stored secret is damaged")
	}
	n := aead.NonceSize()
	secret, err := aead.Open(nil, b[:n], b[n:], []byte(webhook))
	if err != nil {
		return "", errors.New("the secret was sealed with another key; restore the key or set the secret again")
	}
	return string(secret), nil
}
