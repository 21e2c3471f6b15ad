package blobtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/blob"
)

// ExerciseSigner is what each bucket that signs must pass; open returns an
// empty one.
func ExerciseSigner(t *testing.T, open func(t *testing.T) blob.Bucket) {
	t.Helper()
	signer := func(t *testing.T) *blob.Signer {
		t.Helper()
		s, ok := blob.SignerOf(open(t))
		if !ok {
			t.Fatal("the bucket cannot sign")
		}
		return s
	}
	t.Run("Addresses", func(t *testing.T) { addresses(t, signer(t)) })
	t.Run("Parts", func(t *testing.T) { parts(t, signer(t)) })
}

// Send is a request to an address.
func Send(t testing.TB, method, address string, header http.Header, body []byte) (status int, answer http.Header, content string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k := range header {
		r.Header.Set(k, header.Get(k))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(read)
}

func addresses(t *testing.T, s *blob.Signer) {
	const key = "run 1/artefakte/grün+rot #5&6.html"
	sign := func(method string) (string, http.Header) {
		t.Helper()
		address, header, err := s.Address(t.Context(), method, key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return address, header
	}
	address, header := sign(http.MethodPut)
	if status, _, said := Send(t, http.MethodPut, address, header, []byte("0123456789")); status/100 != 2 {
		t.Fatalf("%d %s", status, said)
	}
	address, header = sign(http.MethodGet)
	header.Set("Range", "bytes=2-4")
	status, answer, content := Send(t, http.MethodGet, address, header, nil)
	if status != http.StatusPartialContent || content != "234" {
		t.Errorf("%d %q", status, content)
	}
	if d := answer.Get("Content-Disposition"); !strings.HasPrefix(d, "attachment") || !strings.Contains(d, "gr%C3%BCn%2Brot%20%235%266.html") {
		t.Errorf("a browser would show it: %q", d)
	}
	for name, forged := range map[string]string{
		"OtherFile": strings.Replace(address, "rot", "tot", 1),
		"NoQuery":   address[:strings.IndexByte(address, '?')],
	} {
		if status, _, _ := Send(t, http.MethodGet, forged, nil, nil); status/100 == 2 {
			t.Errorf("%s: %d for %s", name, status, forged)
		}
	}
	if status, _, _ := Send(t, http.MethodPut, address, nil, []byte("replaced")); status/100 == 2 {
		t.Error("an address to read lets write")
	}
}

// smallestPart is what S3 wants of all parts but the last.
const smallestPart = 5 << 20

func parts(t *testing.T, s *blob.Signer) {
	ctx := t.Context()
	const key = "run/große datei.bin"
	content := make([]byte, smallestPart+5)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(content) // it never fails
	id, list, err := s.Begin(ctx, key, 2, time.Minute)
	if err != nil || len(list) != 2 {
		t.Fatalf("%d addresses, %v", len(list), err)
	}
	other, _, err := s.Begin(ctx, key, 1, time.Minute)
	if err != nil || other == id {
		t.Fatalf("%q %q, %v", id, other, err)
	}
	var sent []blob.Part
	for i, address := range list {
		status, answer, said := Send(t, http.MethodPut, address, nil, content[i*smallestPart:min((i+1)*smallestPart, len(content))])
		if status/100 != 2 {
			t.Fatalf("part %d: %d %s", i+1, status, said)
		}
		sent = append(sent, blob.Part{Number: i + 1, ETag: answer.Get("ETag")})
	}
	read := func() (int, string) {
		t.Helper()
		address, header, err := s.Address(ctx, http.MethodGet, key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		status, _, content := Send(t, http.MethodGet, address, header, nil)
		return status, content
	}
	if status, _ := read(); status != http.StatusNotFound {
		t.Errorf("before its end the file is there: %d", status)
	}
	missing := []blob.Part{sent[0], {Number: 3, ETag: sent[1].ETag}}
	if err := s.Complete(ctx, key, id, missing); !errors.Is(err, blob.ErrParts) {
		t.Errorf("a part that was not sent: %v", err)
	}
	if err := s.Abort(ctx, key, other); err != nil {
		t.Error(err)
	}
	if err := s.Complete(ctx, key, id, sent); err != nil {
		t.Fatal(err)
	}
	if status, got := read(); status != http.StatusOK || got != string(content) {
		t.Errorf("%d, %d bytes", status, len(got))
	}
	if err := s.Abort(ctx, key, other); err != nil {
		t.Errorf("again: %v", err)
	}
}
